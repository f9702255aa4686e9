"""A third party's launcher."""
