"""Requests that are passed on to kubelets, pods and what services lead to."""
