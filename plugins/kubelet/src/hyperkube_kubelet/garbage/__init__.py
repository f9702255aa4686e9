"""Removing images that nobody uses, and containers that have ended."""
