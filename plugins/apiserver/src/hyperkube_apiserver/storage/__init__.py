"""Where objects live: a key space like etcd's, and its backends."""

from hyperkube_apiserver.storage.backends import Backend, open_store

__all__ = ["Backend", "open_store"]
