"""The kinds of core v1, a module for each idea."""
