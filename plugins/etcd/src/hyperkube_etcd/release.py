"""The release of etcd whose behaviour this is."""

__all__ = ["CLUSTER_VERSION", "VERSION", "VERSION_LINE"]

VERSION = "3.5.21"
"""Clients ask for it, to know what they can rely on."""
CLUSTER_VERSION = "3.5.0"
VERSION_LINE = f"etcd Version: {VERSION}"
"""What `--version` prints, first of all."""
