"""The types of values that the libraries add, under upstream's names."""

from __future__ import annotations

from hyperkube_machinery.cel.types import ObjectType, opaque

__all__ = ["AUTHORIZER", "CIDR", "DECISION", "FORMAT", "GROUP_CHECK", "IP", "PATH_CHECK", "QUANTITY"]
__all__ += ["RESOURCE_CHECK", "SEMVER", "URL"]

IP = opaque("net.IP")
CIDR = opaque("net.CIDR")
FORMAT = ObjectType("kubernetes.NamedFormat")
QUANTITY = ObjectType("kubernetes.Quantity")
SEMVER = ObjectType("kubernetes.Semver")
URL = ObjectType("kubernetes.URL")

AUTHORIZER = ObjectType("kubernetes.authorization.Authorizer")
PATH_CHECK = ObjectType("kubernetes.authorization.PathCheck")
GROUP_CHECK = ObjectType("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK = ObjectType("kubernetes.authorization.ResourceCheck")
DECISION = ObjectType("kubernetes.authorization.Decision")
