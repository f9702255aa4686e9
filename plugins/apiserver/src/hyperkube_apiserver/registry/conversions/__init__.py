"""Kinds that are served in a version other than the one they are stored in."""

from hyperkube_apiserver.registry.conversions.version import Conversion, ShownVersion, Version, versions

__all__ = ["Conversion", "ShownVersion", "Version", "versions"]
