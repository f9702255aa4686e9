"""The release of Kubernetes whose behaviour this is."""

__all__ = ["KUBERNETES", "VERSION_LINE"]

KUBERNETES = "v1.36.2"
"""What servers tell at /version, and kubelets and proxies in the status of their node."""

VERSION_LINE = f"Kubernetes {KUBERNETES}"
"""What `--version` prints. Source: k8s.io/component-base/version/verflag."""
