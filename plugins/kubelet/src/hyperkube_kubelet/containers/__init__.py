"""Containers of a pod, in plain functions: which to start, kill and restart, and what each is made of."""
