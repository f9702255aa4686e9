"""Servers of a third party."""
