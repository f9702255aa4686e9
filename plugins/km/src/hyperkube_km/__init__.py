"""km: the launcher of Kubernetes-Mesos, made of the servers of hk."""
