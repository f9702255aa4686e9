"""The authorizers that need no data, and the union of several.

Source: k8s.io/apiserver/pkg/authorization/{authorizer,authorizerfactory,union}.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from hyperkube_apiserver.authz.attributes import Attributes, ResourceAttributes
from hyperkube_apiserver.authz.forbidden import forbidden
from hyperkube_apiserver.authz.rules import Rule
from hyperkube_machinery.errors import aggregated
from hyperkube_machinery.identity import MASTERS, Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "ALLOWED",
    "DENIED",
    "AlwaysAllow",
    "AlwaysDeny",
    "Authorizer",
    "Decision",
    "PrivilegedGroup",
    "PromptAuthorizer",
    "ReviewingAuthorizer",
    "Rules",
    "Ruling",
    "Union",
    "decided",
    "require_create",
    "union",
]


@dataclass(frozen=True, slots=True)
class Decision:
    """What an authorizer says. Neither allowed nor denied is no opinion: the next one in a union is asked."""

    allowed: bool
    reason: str = ""  # what a refusal tells the client behind its own text
    denied: bool = False  # nobody else is asked
    error: str = ""  # what kept an authorizer from an opinion; a request that nobody allows ends in 500 then


Ruling: TypeAlias = Decision | Awaitable[Decision]
"""A decision, or what has to be awaited to have it."""

ALLOWED = Decision(True)
DENIED = Decision(False)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a user may do, as far as it can be listed."""

    rules: tuple[Rule, ...] = ()
    incomplete: bool = False  # there may be more
    errors: tuple[str, ...] = ()  # why


_NO_RULES = Rules()


class PromptAuthorizer(Protocol):
    """Decides on requests at once."""

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """Whether `identity` may do what `info` says."""


class Authorizer(Protocol):
    """Decides on requests: it is asked for every one, and answers at once what it knows without asking others."""

    def authorize(self, identity: Identity, info: Attributes) -> Ruling:
        """Whether `identity` may do what `info` says."""


async def decided(ruling: Ruling) -> Decision:
    """The decision, waited for if it must be."""
    return ruling if isinstance(ruling, Decision) else await ruling


async def require_create(authorizer: Authorizer, identity: Identity, info: Attributes) -> None:
    """Raise 403 unless `identity` may create what `info` names: what a request makes beside what its verb says."""
    wanted = ResourceAttributes(
        verb="create",
        group=info.group,
        resource=info.resource,
        subresource=info.subresource,
        namespace=info.namespace,
        name=info.name,
    )
    decision = await decided(authorizer.authorize(identity, wanted))
    if not decision.allowed:
        raise forbidden(identity, wanted, decision.reason)


class ReviewingAuthorizer(Authorizer, Protocol):
    """One that can also be asked what reviews ask."""

    def explain(self, identity: Identity, info: Attributes) -> Ruling:
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
    """Says what the first of its authorizers says that has an opinion.

    A refusal gives the reasons of all that were asked, one a line. Source: k8s.io/apiserver/pkg/authorization/union.
    """

    def __init__(self, authorizers: Iterable[ReviewingAuthorizer]) -> None:
        self._authorizers = tuple(authorizers)

    def replace(self, other: Union) -> None:
        """Be as `other` is from now on."""
        self._authorizers = other._authorizers

    def authorize(self, identity: Identity, info: Attributes) -> Ruling:
        """The first opinion, at once unless somebody must be waited for before it is known."""
        refusals: list[Decision] = []
        for index, authorizer in enumerate(self._authorizers):
            ruling = authorizer.authorize(identity, info)
            if ruling is DENIED:  # what most say most of the time
                continue
            if not isinstance(ruling, Decision):
                rest = (partial(one.authorize, identity, info) for one in self._authorizers[index + 1 :])
                return _first_opinion(ruling, rest, refusals)
            if ruling.allowed or ruling.denied:
                return ruling
            if ruling.reason or ruling.error:
                refusals.append(ruling)
        return _no_opinion(refusals) if refusals else DENIED

    def explain(self, identity: Identity, info: Attributes) -> Ruling:
        """The first opinion, with its reason."""
        asked = (partial(one.explain, identity, info) for one in self._authorizers)
        refusals: list[Decision] = []
        for ask in asked:
            ruling = ask()
            if not isinstance(ruling, Decision):
                return _first_opinion(ruling, asked, refusals)
            if ruling.allowed or ruling.denied:
                return ruling
            refusals.append(ruling)
        return _no_opinion(refusals)

    def rules_for(self, identity: Identity, namespace: str) -> Rules:
        """What any of them allows."""
        parts = [authorizer.rules_for(identity, namespace) for authorizer in self._authorizers]
        return Rules(
            tuple(rule for part in parts for rule in part.rules),
            any(part.incomplete for part in parts),
            tuple(error for part in parts for error in part.errors),
        )


async def _first_opinion(
    ruling: Awaitable[Decision], others: Iterable[Callable[[], Ruling]], refusals: list[Decision]
) -> Decision:
    """That of `ruling`, else of the first of `others` that has one."""
    decision = await ruling
    for ask in others:
        if decision.allowed or decision.denied:
            return decision
        refusals.append(decision)
        decision = await decided(ask())
    if decision.allowed or decision.denied:
        return decision
    return _no_opinion([*refusals, decision])


def _no_opinion(refusals: Iterable[Decision]) -> Decision:
    """That of all together."""
    refusals = tuple(refusals)
    reason = "\n".join(one.reason for one in refusals if one.reason)
    errors = [one.error for one in refusals if one.error]
    return Decision(False, reason, error=aggregated(errors) if errors else "")


def union(authorizers: Iterable[ReviewingAuthorizer]) -> Union:
    """`authorizers` in their order, behind the rule that `system:masters` may do everything."""
    return Union((PrivilegedGroup(), *authorizers))
