"""What functions cost: while they are evaluated, from their arguments, and before, from how large those may be.

The estimates decide which rules a definition may have, so they are upstream's to the unit.
Source: k8s.io/apiserver/pkg/cel/library/cost.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from hyperkube_machinery.cel.bounds import REGEX_FACTOR, STRING_FACTOR, UNBOUNDED, CallEstimate, Cost, Size
from hyperkube_machinery.cel.environment import SizedNode
from hyperkube_machinery.cel.kubernetes import limits, typenames
from hyperkube_machinery.cel.kubernetes.formats import NamedFormat
from hyperkube_machinery.cel.kubernetes.networks import IPValue, NetworkValue
from hyperkube_machinery.cel.library import CallCost
from hyperkube_machinery.cel.types import Kind

__all__ = ["COSTS", "KubernetesCosts"]

_CHECK = 350_000  # an authorization check: two of them fit into one evaluation
_LIST = 10  # of making a list
_REQUIREMENT = 50  # of making a struct and a list, which is what a requirement of a selector takes
_SHORTEST_REQUIREMENT = 2  # code points

_ACCESSORS = (
    *("serviceAccount", "path", "group", "resource", "subresource", "namespace", "name"),
    *("allowed", "reason", "error", "errored", "masked", "prefixLength", "family", "isUnspecified", "isLoopback"),
    *("isLinkLocalMulticast", "isLinkLocalUnicast", "isGlobalUnicast", "format.named"),
    *("sign", "asInteger", "isInteger", "asApproximateFloat", "isGreaterThan", "isLessThan", "compareTo", "add", "sub"),
    *("major", "minor", "patch"),
    *("getScheme", "getHostname", "getHost", "getPort", "getEscapedPath", "getQuery"),
)
_WALKS_ARGUMENT = ["url", "jsonpatch.escapeKey"]
_WALKS_TARGET = ["lowerAscii", "upperAscii", "substring", "trim"]
_PARSES = ["cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"]
_WALKS_ITEMS = ["isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"]

Estimator = Callable[[str, SizedNode | None, Sequence[SizedNode]], CallEstimate | None]
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
        estimator = _ESTIMATES.get(function)
        return None if estimator is None else estimator(overload, target, arguments)


COSTS = KubernetesCosts()


# While evaluating


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
    return _CHECK


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
    return _selector(Size.exactly(_size(arguments[1]))).max


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
    **dict.fromkeys(_ACCESSORS, _one),
    **dict.fromkeys((*_WALKS_ARGUMENT, *_WALKS_TARGET, *_PARSES), _walk_cost),
    **dict.fromkeys(_WALKS_ITEMS, _traversal_cost),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _double_walk_cost),
    **dict.fromkeys(("find", "findAll"), _find_cost),
    **dict.fromkeys(("fieldSelector", "labelSelector"), _selector_cost),
    "check": _check_cost,
    "join": _join_cost,
    "validate": _validate_cost,
}


# Before


def _size_of(node: SizedNode) -> Size:
    return node.size or Size.unknown()


def _nothing_more(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    return CallEstimate(Cost.exactly(1))


def _estimate_check(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    return CallEstimate(Cost.exactly(_CHECK))


def _selector(length: Size) -> Cost:
    requirements = length.by_factor(1 / _SHORTEST_REQUIREMENT).by_factor(_REQUIREMENT)
    return Cost.exactly(_LIST) + length.by_factor(STRING_FACTOR) + requirements


def _estimate_selector(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    return CallEstimate(_selector(_size_of(arguments[0]))) if len(arguments) == 1 else None


def _estimate_items(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if target is None:
        return None
    size = _size_of(target)
    element = target.element
    if element is None:  # a text, which indexOf and lastIndexOf take too
        return CallEstimate(size.by_factor(STRING_FACTOR))
    cost = Cost.exactly(1)
    if element.type.kind in (Kind.STRING, Kind.BYTES):
        cost += _size_of(element).by_factor(STRING_FACTOR)
    return CallEstimate(size.times(cost))


def _estimate_walk(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    walked = target if target is not None else arguments[0] if len(arguments) == 1 else None
    if walked is None:
        return None
    size = _size_of(walked)
    return CallEstimate(size.by_factor(STRING_FACTOR), size)


def _estimate_parse(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if overload == "cidr_ip":
        return CallEstimate(Cost.exactly(1))
    return CallEstimate(_size_of(arguments[0]).by_factor(STRING_FACTOR)) if arguments else None


def _estimate_canonical(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    return CallEstimate(_size_of(arguments[0]).by_factor(2 * STRING_FACTOR)) if arguments else None


def _estimate_replace(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if target is None or len(arguments) < 2:
        return None
    size, replaced, by = _size_of(target), _size_of(arguments[0]), _size_of(arguments[1])
    # The longest result: the shortest texts are replaced by the longest; an empty one stands around every character.
    if replaced.min == 0:
        most, kept_most = min(size.max + 1, UNBOUNDED), size.max
    elif by.max <= replaced.min:
        most, kept_most = 0, size.max
    else:
        most, kept_most = math.ceil(float(size.max) / float(replaced.min)), 0
    # And the shortest.
    if replaced.max == 0:
        least, kept_least = min(size.min + 1, UNBOUNDED), size.min
    elif replaced.max <= by.min:
        least, kept_least = 0, size.min
    else:
        least, kept_least = math.ceil(float(size.min) / float(replaced.max)), 0
    result = Size(least, most) * by + Size(kept_least, kept_most)
    return CallEstimate(size.by_factor(2 * STRING_FACTOR), result)


def _estimate_split(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if target is None:
        return None
    size = _size_of(target)
    most = size.max
    if len(arguments) > 1 and isinstance(limit := _literal(arguments[1]), int) and not isinstance(limit, bool):
        most = limit % (UNBOUNDED + 1)  # as Go converts it
    return CallEstimate(size.by_factor(2 * STRING_FACTOR), Size(0, most))


def _literal(node: SizedNode) -> Any:
    return getattr(node.expression, "value", None)


def _estimate_join(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if target is None:
        return None
    items = _size_of(target)
    element = target.element
    size = items * _size_of(element) if element is not None else Size(0, 0)
    if arguments:
        size += _size_of(arguments[0]) * Size(max(items.min - 1, 0), max(items.max - 1, 0))
    return CallEstimate(size.by_factor(STRING_FACTOR), size)


def _estimate_find(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if target is None or not arguments:
        return None
    size = _size_of(target)
    walk = (size + Size.exactly(1)).by_factor(STRING_FACTOR)
    pattern = _size_of(arguments[0]).by_factor(REGEX_FACTOR)
    return CallEstimate(walk * pattern, Size(0, size.max))


def _estimate_contains(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if not arguments:
        return None
    address = Size(4, 16)  # bytes
    cost = (address + address).by_factor(STRING_FACTOR)
    if overload.startswith("cidr_contains_cidr"):
        cost += address.by_factor(STRING_FACTOR) + Cost.exactly(1)
    if overload.endswith("_string"):
        cost += _size_of(arguments[0]).by_factor(STRING_FACTOR)
    return CallEstimate(cost)


def _estimate_validate(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if not arguments:
        return None
    walk = _size_of(arguments[0]).by_factor(STRING_FACTOR)
    return CallEstimate(walk.by_factor(limits.NAME_FORMAT_PATTERN * REGEX_FACTOR))


_COMPARED_AT_ONCE = frozenset(
    (
        *(typenames.IP, typenames.CIDR, typenames.QUANTITY, typenames.SEMVER),
        *(typenames.AUTHORIZER, typenames.PATH_CHECK, typenames.GROUP_CHECK, typenames.RESOURCE_CHECK),
        typenames.DECISION,
    )
)


def _estimate_equals(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if len(arguments) != 2 or arguments[0].type != arguments[1].type:
        return None
    type_ = arguments[0].type
    if type_ in _COMPARED_AT_ONCE:
        return CallEstimate(Cost.exactly(1))
    if type_ == typenames.FORMAT:
        return CallEstimate(Cost(1, limits.MAX_FORMAT).by_factor(STRING_FACTOR))
    if type_ == typenames.URL:
        size = arguments[1].size
        return CallEstimate(Cost(1, size.max if size else 1).by_factor(STRING_FACTOR))
    return None


_ESTIMATES: dict[str, Estimator] = {
    **dict.fromkeys(_ACCESSORS, _nothing_more),
    **dict.fromkeys((*_WALKS_ARGUMENT, *_WALKS_TARGET), _estimate_walk),
    **dict.fromkeys((*_PARSES, "ip"), _estimate_parse),
    **dict.fromkeys(_WALKS_ITEMS, _estimate_items),
    **dict.fromkeys(("find", "findAll"), _estimate_find),
    **dict.fromkeys(("fieldSelector", "labelSelector"), _estimate_selector),
    **dict.fromkeys(("containsIP", "containsCIDR"), _estimate_contains),
    "check": _estimate_check,
    "ip.isCanonical": _estimate_canonical,
    "replace": _estimate_replace,
    "split": _estimate_split,
    "join": _estimate_join,
    "validate": _estimate_validate,
    "_==_": _estimate_equals,
}
