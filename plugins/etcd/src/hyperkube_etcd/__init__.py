"""etcd's interface to the embedded store of hk."""
