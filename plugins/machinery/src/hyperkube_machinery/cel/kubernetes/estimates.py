"""What functions may cost, before they are evaluated, from how large their arguments may be.

The estimates decide which rules a definition may have, so they are upstream's to the unit.
Source: EstimateCallCost in k8s.io/apiserver/pkg/cel/library/cost.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from hyperkube_machinery.cel.bounds import REGEX_FACTOR, STRING_FACTOR, UNBOUNDED, CallEstimate, Cost, Size
from hyperkube_machinery.cel.environment import SizedNode
from hyperkube_machinery.cel.kubernetes import limits, typenames
from hyperkube_machinery.cel.types import Kind

__all__ = ["ACCESSORS", "CHECK", "ESTIMATES", "PARSES", "WALKS_ARGUMENT", "WALKS_ITEMS", "WALKS_TARGET"]
__all__ += ["selector_cost"]

CHECK = 350_000  # an authorization check: two of them fit into one evaluation
_LIST = 10  # of making a list
_REQUIREMENT = 50  # of making a struct and a list, which is what a requirement of a selector takes
_SHORTEST_REQUIREMENT = 2  # code points

ACCESSORS = (
    *("serviceAccount", "path", "group", "resource", "subresource", "namespace", "name"),
    *("allowed", "reason", "error", "errored", "masked", "prefixLength", "family", "isUnspecified", "isLoopback"),
    *("isLinkLocalMulticast", "isLinkLocalUnicast", "isGlobalUnicast", "format.named"),
    *("sign", "asInteger", "isInteger", "asApproximateFloat", "isGreaterThan", "isLessThan", "compareTo", "add", "sub"),
    *("major", "minor", "patch"),
    *("getScheme", "getHostname", "getHost", "getPort", "getEscapedPath", "getQuery"),
)
WALKS_ARGUMENT = ["url", "jsonpatch.escapeKey"]
WALKS_TARGET = ["lowerAscii", "upperAscii", "substring", "trim"]
PARSES = ["cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"]
WALKS_ITEMS = ["isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"]

Estimator = Callable[[str, SizedNode | None, Sequence[SizedNode]], CallEstimate | None]


def _size_of(node: SizedNode) -> Size:
    return node.size or Size.unknown()


def _nothing_more(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    return CallEstimate(Cost.exactly(1))


def _estimate_check(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    return CallEstimate(Cost.exactly(CHECK))


def selector_cost(length: Size) -> Cost:
    """Of reading a selector that is so long."""
    requirements = length.by_factor(1 / _SHORTEST_REQUIREMENT).by_factor(_REQUIREMENT)
    return Cost.exactly(_LIST) + length.by_factor(STRING_FACTOR) + requirements


def _estimate_selector(overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    return CallEstimate(selector_cost(_size_of(arguments[0]))) if len(arguments) == 1 else None


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


ESTIMATES: dict[str, Estimator] = {
    **dict.fromkeys(ACCESSORS, _nothing_more),
    **dict.fromkeys((*WALKS_ARGUMENT, *WALKS_TARGET), _estimate_walk),
    **dict.fromkeys((*PARSES, "ip"), _estimate_parse),
    **dict.fromkeys(WALKS_ITEMS, _estimate_items),
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
