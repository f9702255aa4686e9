"""What the objects of a namespace use of what a quota bounds.

Source: k8s.io/apiserver/pkg/quota/v1 (CalculateUsage).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hyperkube_machinery.quantity import Quantity
from hyperkube_machinery.quota.amounts import ZERO, added, only, read
from hyperkube_machinery.quota.evaluator import Evaluator, Tree, requirements_of

__all__ = ["hard_of", "used_by"]


def hard_of(quota: Tree) -> dict[str, Quantity]:
    """What a quota's spec bounds."""
    return read((quota.get("spec") or {}).get("hard"))


def used_by(
    quota: Tree, evaluators: Iterable[Evaluator], objects: Callable[[Evaluator], Iterable[Tree] | None]
) -> dict[str, Quantity]:
    """What is used of each resource that the quota's spec bounds and that can be measured.

    `objects` tells what is there of an evaluator's resource in the quota's namespace, None where that is not known;
    what it would have counted is left out.
    """
    hard = hard_of(quota)
    requirements = requirements_of(quota)
    used: dict[str, Quantity] = {}
    measured: set[str] = set()
    unknown: set[str] = set()
    for evaluator in evaluators:
        names = evaluator.counted(hard)
        if not names:
            continue
        found = objects(evaluator)
        if found is None:
            unknown.update(names)
            continue
        measured.update(names)
        used = added(used, dict.fromkeys(names, ZERO))
        for obj in found:
            if all(evaluator.is_in(one, obj) for one in requirements):
                used = added(used, evaluator.usage(obj))
    return only(used, measured - unknown)
