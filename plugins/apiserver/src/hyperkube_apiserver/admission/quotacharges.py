"""What a request is charged to the quotas of its namespace, or why it is refused.

Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota (CheckRequest).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.quota import (
    ZERO,
    Amounts,
    Evaluator,
    Requirement,
    added,
    exceeding,
    only,
    read,
    reduced,
    requirements_of,
    shown,
)

__all__ = ["LimitedResource", "Standing", "charge"]

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LimitedResource:
    """A resource of which nothing may be used but under a quota."""

    group: str
    resource: str
    contains: tuple[str, ...]  # parts of the names of what is used
    scopes: tuple[Requirement, ...]


@dataclass(slots=True)
class Standing:
    """A quota, and what is used of it as far as is known."""

    quota: Tree  # as it is stored
    used: Amounts

    @classmethod
    def of(cls, quota: Tree) -> Standing:
        return cls(quota, read((quota.get("status") or {}).get("used")))

    @property
    def name(self) -> str:
        return meta.name(self.quota)

    @property
    def hard(self) -> Amounts:
        """What is bounded, as the controller has come to know it."""
        return read((self.quota.get("status") or {}).get("hard"))

    @property
    def has_changed(self) -> bool:
        """Whether more is used than is stored."""
        return self.used != read((self.quota.get("status") or {}).get("used"))


def charge(
    standings: Sequence[Standing], attributes: Attributes, evaluator: Evaluator, limited: Sequence[LimitedResource]
) -> dict[int, Amounts]:
    """What will be used of the quotas that a request is charged to, by their place. Raises APIError to refuse it."""
    obj = attributes.obj
    assert obj is not None
    scopes = [match for one in limited for match in evaluator.matching(one.scopes, obj)]
    must_be_bounded = _limited_names(evaluator, attributes, limited)
    bounded: set[str] = set()
    covering: list[Requirement] = []
    concerned = []
    for index, standing in enumerate(standings):
        covering += evaluator.matching(requirements_of(standing.quota), obj)
        if not evaluator.is_counted_by(standing.quota, obj):
            continue
        names = evaluator.counted(standing.hard)
        _check_standing(standing, names, evaluator, attributes)
        concerned.append(index)
        bounded.update(names)
    usage = evaluator.usage(_placed(obj, attributes.namespace))
    if negative := sorted(name for name, amount in usage.items() if amount < ZERO):
        raise forbidden(attributes, f"quota usage is negative for resource(s): {','.join(negative)}")
    more = _more(standings, attributes, evaluator, usage)
    charges = {index: amounts for index in concerned if (amounts := _some(more[index]))}
    if not charges if concerned else not _some(more[_ANYWHERE]):
        return {}
    if uncovered := must_be_bounded - bounded:
        raise forbidden(attributes, f"insufficient quota to consume: {','.join(sorted(uncovered))}")
    if missing := evaluator.uncovered(scopes, covering):
        told = " ".join(map(str, missing))
        raise APIError.of(500, "", f"insufficient quota to match these scopes: [{told}]")
    return {index: _charged(standings[index], amounts, attributes) for index, amounts in charges.items()}


_ANYWHERE = -1
"""The place of what would be charged where there is no quota."""


def _limited_names(evaluator: Evaluator, attributes: Attributes, limited: Iterable[LimitedResource]) -> set[str]:
    """What is used that must be bounded by a quota."""
    resource = attributes.kind.resource
    here = [one for one in limited if (one.group, one.resource) == (resource.group, resource.resource)]
    if not here:
        return set()
    assert attributes.obj is not None
    used = [name for name, amount in evaluator.usage(attributes.obj).items() if amount > ZERO]
    return {name for name in used for one in here if any(part in name for part in one.contains)}


def _check_standing(standing: Standing, names: Collection[str], evaluator: Evaluator, attributes: Attributes) -> None:
    assert attributes.obj is not None
    if lacking := evaluator.lacking(names, attributes.obj):
        raise forbidden(attributes, f"failed quota: {standing.name}: {lacking}")
    if any(name not in standing.used for name in names):
        told = ",".join(sorted(names))
        raise forbidden(attributes, f"status unknown for quota: {standing.name}, resources: {told}")


def _placed(obj: Tree, namespace: str) -> Tree:
    """The object with its namespace, which it may not name itself."""
    if meta.namespace(obj):
        return obj
    return {**obj, "metadata": {**meta.metadata(obj), "namespace": namespace}}


def _more(
    standings: Sequence[Standing], attributes: Attributes, evaluator: Evaluator, usage: Amounts
) -> dict[int, Amounts]:
    """What is used beyond what the object used before, as each quota sees it."""
    everywhere = dict.fromkeys((_ANYWHERE, *range(len(standings))), usage)
    if attributes.operation is not Operation.UPDATE:
        return everywhere
    old = attributes.old
    if old is None:
        why = "unable to get previous usage since prior version of object was not found"
        raise forbidden(attributes, why)
    difference = reduced(usage, evaluator.usage(old))
    before = {index for index, one in enumerate(standings) if evaluator.is_counted_by(one.quota, old)}
    return {**everywhere, **dict.fromkeys((_ANYWHERE, *before), difference)}


def _some(amounts: Amounts) -> Amounts:
    return {name: amount for name, amount in amounts.items() if amount}


def _charged(standing: Standing, amounts: Amounts, attributes: Attributes) -> Amounts:
    """What will be used of a quota; raises 403 where that is more than it allows."""
    hard = standing.hard
    requested = only(amounts, hard)
    used = added(standing.used, requested)
    if attributes.subresource != "status" and (beyond := exceeding(only(used, requested), hard)):
        said = ", ".join(
            f"{word}: {shown(only(told, beyond))}"
            for word, told in (("requested", requested), ("used", standing.used), ("limited", hard))
        )
        raise forbidden(attributes, f"exceeded quota: {standing.name}, {said}")
    return used
