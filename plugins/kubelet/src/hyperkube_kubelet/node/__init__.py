"""This node as the API server's clients see it."""
