"""Where objects live: a key space like etcd's, and its backends."""
