"""Which sorts of requests a webhook or a policy is about.

What rules say depends on the sort of a request alone (its resource, subresource and operation), so that it is found out
once a sort. Source: k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules, plugin/policy/matching.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.offering import Offering

__all__ = [
    "GroupVersionKind",
    "Rule",
    "Sort",
    "Target",
    "equivalents",
    "matching",
    "read_rules",
    "sort_of",
    "target_of",
]

Sort = tuple[str, str, str, str, str]
"""Group, version, plural, subresource, operation."""


@dataclass(frozen=True, slots=True)
class GroupVersionKind:
    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        """As Go writes it."""
        return f"{self.group}/{self.version}, Kind={self.kind}"


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule matched: the resource of a request, or another version of it that objects are converted to."""

    resource: Kind
    body: GroupVersionKind  # of the object, which a subresource may have one of its own of


@dataclass(frozen=True, slots=True)
class Rule:
    """Operations on resources; without `names`, on all objects of these."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]  # with their subresources
    scope: str
    names: frozenset[str]

    def covers(self, kind: Kind, subresource: str, operation: str) -> bool:
        resource = kind.resource
        return (
            _has(self.operations, operation)
            and _has(self.groups, resource.group)
            and _has(self.versions, resource.version)
            and (self.scope == "*" or (self.scope == "Namespaced") is resource.namespaced)
            and any(name in ("*", resource.resource) and below in ("*", subresource) for name, below in self.resources)
        )

    def names_one(self, name: str) -> bool:
        """Whether the object called `name` is one of those that the rule is about."""
        return not self.names or name in self.names


def _has(listed: frozenset[str], wanted: str) -> bool:
    return wanted in listed or "*" in listed


def read_rules(trees: Iterable[Mapping[str, Any]] | None) -> tuple[Rule, ...]:
    """The rules of a webhook or a policy."""
    return tuple(
        Rule(
            operations=frozenset(tree.get("operations") or ()),
            groups=frozenset(tree.get("apiGroups") or ()),
            versions=frozenset(tree.get("apiVersions") or ()),
            resources=tuple((name, below) for name, _, below in map(_split, tree.get("resources") or ())),
            scope=tree.get("scope") or "*",
            names=frozenset(tree.get("resourceNames") or ()),
        )
        for tree in trees or ()
    )


def _split(resource: str) -> tuple[str, str, str]:
    return resource.partition("/")


def sort_of(kind: Kind, subresource: str, operation: str) -> Sort:
    resource = kind.resource
    return resource.group, resource.version, resource.resource, subresource, operation


def target_of(kind: Kind, subresource: str) -> Target:
    """A resource, or subresource, as itself."""
    resource = kind.resource
    own = kind.subresource(subresource) if subresource else None
    if own is None:
        return Target(kind, GroupVersionKind(resource.group, resource.version, resource.kind))
    if own.version:
        return Target(kind, GroupVersionKind(own.group, own.version, own.kind))
    return Target(kind, GroupVersionKind(resource.group, resource.version, own.kind))


def equivalents(offering: Offering, kind: Kind, subresource: str) -> Iterator[Kind]:
    """The other resources that show the same objects: other versions, and events of another group."""
    resource = kind.resource
    for one in offering.kinds.values():
        if one is kind or (subresource and one.subresource(subresource) is None):
            continue
        same = (one.resource.group, one.resource.resource) == (resource.group, resource.resource)
        if same or (kind.storage_prefix and one.storage_prefix == kind.storage_prefix):
            yield one


def matching(
    rules: Sequence[Rule], offering: Offering, kind: Kind, subresource: str, operation: str, *, exact: bool
) -> list[tuple[Rule, Target]]:
    """The rules that are about such requests, in the order in which they count, each with what it matched."""
    found = [(rule, target_of(kind, subresource)) for rule in rules if rule.covers(kind, subresource, operation)]
    if exact:
        return found
    others = list(equivalents(offering, kind, subresource))
    for rule in rules:
        found += [(rule, target_of(one, subresource)) for one in others if rule.covers(one, subresource, operation)]
    return found
