"""Encryption at rest, imported where it is asked for."""
