"""The Kubernetes scheduler of hk."""
