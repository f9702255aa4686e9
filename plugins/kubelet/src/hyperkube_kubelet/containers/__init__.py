"""Containers of a pod, decided on in plain functions: what to start, kill and restart, and what a container is made of."""
