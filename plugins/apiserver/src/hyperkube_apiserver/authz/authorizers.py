"""The authorizers that need no data, and the union of several.

Source: k8s.io/apiserver/pkg/authorization/{authorizer,authorizerfactory,union}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hyperkube_apiserver.authn.identity import MASTERS, Identity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hyperkube_apiserver.authz.attributes import Attributes

__all__ = [
    "ALLOWED",
    "DENIED",
    "AlwaysAllow",
    "AlwaysDeny",
    "Authorizer",
    "Decision",
    "PrivilegedGroup",
    "Union",
    "union",
]


@dataclass(frozen=True, slots=True)
class Decision:
    """What an authorizer says. Not allowed means that it has no opinion: the next one in a union is asked."""

    allowed: bool
    reason: str = ""  # what a refusal tells the client behind its own text


ALLOWED = Decision(True)
DENIED = Decision(False)


class Authorizer(Protocol):
    """Decides on requests. Synchronous and quick: it is asked for every one."""

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """Whether `identity` may do what `info` says."""


class AlwaysAllow:
    """Everybody may do everything."""

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """Yes."""
        return ALLOWED


class AlwaysDeny:
    """Nobody may do anything."""

    _NO = Decision(False, "Everything is forbidden.")

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """No."""
        return self._NO


class PrivilegedGroup:
    """Members of one group may do everything."""

    def __init__(self, group: str = MASTERS) -> None:
        self._group = group

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """Whether `identity` is a member."""
        return ALLOWED if self._group in identity.groups else DENIED


class Union:
    """Allows what one of its authorizers allows; a refusal gives the reasons of all, one a line."""

    def __init__(self, authorizers: Iterable[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """The first permission."""
        refusals = []
        for authorizer in self._authorizers:
            decision = authorizer.authorize(identity, info)
            if decision.allowed:
                return decision
            if decision.reason:
                refusals.append(decision.reason)
        return Decision(False, "\n".join(refusals)) if refusals else DENIED


def union(authorizers: Iterable[Authorizer]) -> Union:
    """`authorizers` in their order, behind the rule that `system:masters` may do everything."""
    return Union((PrivilegedGroup(), *authorizers))
