"""The release of Kubernetes whose behaviour this is."""

__all__ = ["KUBERNETES"]

KUBERNETES = "v1.36.2"
"""What servers tell at /version, and kubelets and proxies in the status of their node."""
