"""Definitions of custom resources, and what their schemas say of values."""
