"""The authorizers that need no data, and the union of several.

Source: k8s.io/apiserver/pkg/authorization/{authorizer,authorizerfactory,union}.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hyperkube_apiserver.authz.attributes import Attributes, ResourceAttributes
from hyperkube_apiserver.authz.forbidden import forbidden
from hyperkube_apiserver.authz.rules import Rule
from hyperkube_machinery.identity import MASTERS, Identity

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ALLOWED",
    "DENIED",
    "AlwaysAllow",
    "AlwaysDeny",
    "Authorizer",
    "Decision",
    "PrivilegedGroup",
    "ReviewingAuthorizer",
    "Rules",
    "Union",
    "require_create",
    "union",
]


@dataclass(frozen=True, slots=True)
class Decision:
    """What an authorizer says. Not allowed means that it has no opinion: the next one in a union is asked."""

    allowed: bool
    reason: str = ""  # what a refusal tells the client behind its own text


ALLOWED = Decision(True)
DENIED = Decision(False)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a user may do, as far as it can be listed."""

    rules: tuple[Rule, ...] = ()
    incomplete: bool = False  # there may be more
    errors: tuple[str, ...] = ()  # why


_NO_RULES = Rules()


class Authorizer(Protocol):
    """Decides on requests. Synchronous and quick: it is asked for every one."""

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """Whether `identity` may do what `info` says."""


def require_create(authorizer: Authorizer, identity: Identity, info: Attributes) -> None:
    """Raise 403 unless `identity` may create what `info` names: what a request makes beside what its verb says."""
    wanted = ResourceAttributes(
        verb="create",
        group=info.group,
        resource=info.resource,
        subresource=info.subresource,
        namespace=info.namespace,
        name=info.name,
    )
    decision = authorizer.authorize(identity, wanted)
    if not decision.allowed:
        raise forbidden(identity, wanted, decision.reason)


class ReviewingAuthorizer(Authorizer, Protocol):
    """One that can also be asked what reviews ask."""

    def explain(self, identity: Identity, info: Attributes) -> Decision:
        """As `authorize`, but a permission says where it comes from: for reviews, which have more time."""

    def rules_for(self, identity: Identity, namespace: str) -> Rules:
        """What `identity` may do in `namespace`."""


class _Plain(ABC):
    """What an authorizer without rules has in common with others."""

    @abstractmethod
    def authorize(self, identity: Identity, info: Attributes) -> Decision: ...

    def explain(self, identity: Identity, info: Attributes) -> Decision:
        """There is no more to say than `authorize` does."""
        return self.authorize(identity, info)

    def rules_for(self, identity: Identity, namespace: str) -> Rules:
        """Nothing."""
        return _NO_RULES


class AlwaysAllow(_Plain):
    """Everybody may do everything."""

    _ALL = Rules((Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",))))

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """Yes."""
        return ALLOWED

    def rules_for(self, identity: Identity, namespace: str) -> Rules:
        """Everything."""
        return self._ALL


class AlwaysDeny(_Plain):
    """Nobody may do anything."""

    _NO = Decision(False, "Everything is forbidden.")

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """No."""
        return self._NO


class PrivilegedGroup(_Plain):
    """Members of one group may do everything."""

    def __init__(self, group: str = MASTERS) -> None:
        self._group = group

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """Whether `identity` is a member."""
        return ALLOWED if self._group in identity.groups else DENIED


class Union:
    """Allows what one of its authorizers allows; a refusal gives the reasons of all, one a line."""

    def __init__(self, authorizers: Iterable[ReviewingAuthorizer]) -> None:
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

    def explain(self, identity: Identity, info: Attributes) -> Decision:
        """The first permission, with its reason."""
        for authorizer in self._authorizers:
            if authorizer.authorize(identity, info).allowed:
                return authorizer.explain(identity, info)
        return self.authorize(identity, info)

    def rules_for(self, identity: Identity, namespace: str) -> Rules:
        """What any of them allows."""
        parts = [authorizer.rules_for(identity, namespace) for authorizer in self._authorizers]
        return Rules(
            tuple(rule for part in parts for rule in part.rules),
            any(part.incomplete for part in parts),
            tuple(error for part in parts for error in part.errors),
        )


def union(authorizers: Iterable[ReviewingAuthorizer]) -> Union:
    """`authorizers` in their order, behind the rule that `system:masters` may do everything."""
    return Union((PrivilegedGroup(), *authorizers))
