"""A key space like etcd's, and its backends: a file, or memory."""

from hyperkube_machinery.storage.backends import Backend, open_store

__all__ = ["Backend", "open_store"]
