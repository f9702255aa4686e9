"""The Kubernetes service proxy of hk."""
