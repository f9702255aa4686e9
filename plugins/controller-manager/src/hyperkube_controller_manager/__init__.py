"""The Kubernetes controller manager of hk."""
