"""Ending pods before the node runs out of memory, disk or processes."""
