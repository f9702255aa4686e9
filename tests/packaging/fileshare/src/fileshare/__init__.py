"""A third party's server, on threads."""
