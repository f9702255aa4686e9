"""The kinds that are served: data, read from one table."""

from hyperkube_apiserver.kinds.table import Column, Kind, Subresource, load_kinds

__all__ = ["Column", "Kind", "Subresource", "load_kinds"]
