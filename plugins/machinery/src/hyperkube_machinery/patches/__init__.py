"""Patches: a change that is described, as a function from a tree to a changed one. No input is ever changed.

Each module reads a body with `read`, which gives that function and what a strict reader would refuse in the body, and
each has `apply` for trees.
"""
