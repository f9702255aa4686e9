"""The Kubernetes node agent of hk."""
