"""The Kubernetes API server of hk."""
