"""The key space in an etcd, or a cluster of them."""
