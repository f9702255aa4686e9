"""What functions cost while they are evaluated, from their arguments and results.

Source: CallCost in k8s.io/apiserver/pkg/cel/library/cost.go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hyperkube_machinery.cel.bounds import REGEX_FACTOR, STRING_FACTOR, CallEstimate, Size
from hyperkube_machinery.cel.environment import SizedNode
from hyperkube_machinery.cel.kubernetes.estimates import (
    ACCESSORS,
    CHECK,
    ESTIMATES,
    PARSES,
    WALKS_ARGUMENT,
    WALKS_ITEMS,
    WALKS_TARGET,
    selector_cost,
)
from hyperkube_machinery.cel.kubernetes.formats import NamedFormat
from hyperkube_machinery.cel.kubernetes.networks import IPValue, NetworkValue
from hyperkube_machinery.cel.models import CallCost

__all__ = ["COSTS", "KubernetesCosts"]

Arguments = Sequence[Any]


class KubernetesCosts:
    """The prices of upstream's libraries, and of those of cel-go's that it prices itself."""

    def call_cost(self, function: str, overload: str) -> CallCost | None:
        if function == "ip":
            return _one if overload == "cidr_ip" else _ip_cost
        if function in ("containsIP", "containsCIDR"):
            return lambda arguments, result: _contains_cost(function, overload, arguments)
        return _CALLS.get(function)

    def estimate_call(
        self, function: str, overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]
    ) -> CallEstimate | None:
        estimator = ESTIMATES.get(function)
        return None if estimator is None else estimator(overload, target, arguments)


COSTS = KubernetesCosts()


def _size(value: Any) -> int:
    """What `size()` would say; 1 for what has none."""
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    return value.bytes_long if isinstance(value, IPValue | NetworkValue) else 1


def _walk(size: int, factor: float = STRING_FACTOR) -> int:
    return math.ceil(float(size) * factor)


def _one(arguments: Arguments, result: Any) -> int:
    return 1


def _check_cost(arguments: Arguments, result: Any) -> int:
    return CHECK


def _walk_cost(arguments: Arguments, result: Any) -> int:
    return _walk(_size(arguments[0]))


def _double_walk_cost(arguments: Arguments, result: Any) -> int:
    """What walks over a text and makes another."""
    return _walk(_size(arguments[0]), 2 * STRING_FACTOR)


def _join_cost(arguments: Arguments, result: Any) -> int:
    return _walk(_size(result), 2 * STRING_FACTOR)


def _traversal_cost(arguments: Arguments, result: Any) -> int:
    return _traversal(arguments[0])


def _traversal(value: Any) -> int:
    if isinstance(value, str):
        return int(len(value.encode("utf-8", "surrogatepass")) * STRING_FACTOR)
    if isinstance(value, bytes):
        return int(len(value) * STRING_FACTOR)
    if isinstance(value, list):
        return sum(map(_traversal, value))
    if isinstance(value, dict):
        return sum(_traversal(key) + _traversal(item) for key, item in value.items())
    return 1


def _pattern_cost(text: int, pattern: int) -> int:
    # One more than the text has, so that an expensive pattern is not free on an empty one.
    return math.ceil((1.0 + text) * STRING_FACTOR) * math.ceil(pattern * REGEX_FACTOR)


def _find_cost(arguments: Arguments, result: Any) -> int:
    return _pattern_cost(_size(arguments[0]), _size(arguments[1]))


def _validate_cost(arguments: Arguments, result: Any) -> int:
    if not isinstance(arguments[0], NamedFormat):
        return 1
    return _pattern_cost(_size(arguments[1]), arguments[0].pattern_size)


def _selector_cost(arguments: Arguments, result: Any) -> int:
    return selector_cost(Size.exactly(_size(arguments[1]))).max


def _ip_cost(arguments: Arguments, result: Any) -> int:
    if isinstance(arguments[0], NetworkValue):
        return 1
    return _walk(_size(arguments[0]))


def _contains_cost(function: str, overload: str, arguments: Arguments) -> int:
    prefix = _size(arguments[0])
    cost = _walk(2 * prefix)
    if function == "containsCIDR":
        cost += _walk(prefix) + 1
    if overload.endswith("_string") or (not overload and isinstance(arguments[1], str)):
        cost += _walk(_size(arguments[1]))
    return cost


_CALLS: dict[str, CallCost] = {
    **dict.fromkeys(ACCESSORS, _one),
    **dict.fromkeys((*WALKS_ARGUMENT, *WALKS_TARGET, *PARSES), _walk_cost),
    **dict.fromkeys(WALKS_ITEMS, _traversal_cost),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _double_walk_cost),
    **dict.fromkeys(("find", "findAll"), _find_cost),
    **dict.fromkeys(("fieldSelector", "labelSelector"), _selector_cost),
    "check": _check_cost,
    "join": _join_cost,
    "validate": _validate_cost,
}
