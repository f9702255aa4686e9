"""A third party's controller."""
