"""Who is at the other end, and the names that the API server itself gives.

Source: k8s.io/apiserver/pkg/authentication/user, k8s.io/apiserver/pkg/authentication/serviceaccount.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ANONYMOUS",
    "AUTHENTICATED",
    "MASTERS",
    "NODES",
    "SERVER",
    "UNAUTHENTICATED",
    "Identity",
    "node_name",
    "service_account_groups",
    "split_service_account",
]

ANONYMOUS = "system:anonymous"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"
NODES = "system:nodes"

_NO_EXTRA: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as every later step sees it; groups are in the order in which they were found out."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_EXTRA)

    def authenticated(self) -> Identity:
        """The same user as a member of `system:authenticated`, unless the user is anonymous or says otherwise."""
        if self.name == ANONYMOUS or AUTHENTICATED in self.groups or UNAUTHENTICATED in self.groups:
            return self
        return Identity(self.name, self.uid, (*self.groups, AUTHENTICATED), self.extra)


SERVER = Identity("system:apiserver", groups=(MASTERS, AUTHENTICATED))
"""The API server itself, whose own writes ask for nobody's leave."""

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SERVICE_ACCOUNT = re.compile(rf"system:serviceaccount:({_LABEL}):({_LABEL}(?:\.{_LABEL})*)")
_NODE = re.compile(rf"system:node:({_LABEL}(?:\.{_LABEL})*)")


def split_service_account(username: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that `username` stands for, if it stands for one."""
    match = _SERVICE_ACCOUNT.fullmatch(username)
    if match is None or len(match[1]) > 63 or len(match[2]) > 253:
        return None
    return match[1], match[2]


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """The groups that every service account of `namespace` is in."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def node_name(username: str) -> str | None:
    """The node whose kubelet `username` stands for, if it stands for one."""
    match = _NODE.fullmatch(username)
    return match[1] if match is not None and len(match[1]) <= 253 else None
