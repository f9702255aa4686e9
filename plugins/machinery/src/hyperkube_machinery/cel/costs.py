"""What calls of the standard library cost, and may cost.

Source: cel-go's interpreter/runtimecost.go and checker/cost.go. Every call that is not here costs 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hyperkube_machinery.cel.bounds import REGEX_FACTOR, STRING_FACTOR, CallEstimate, Cost, Size
from hyperkube_machinery.cel.equality import size_of
from hyperkube_machinery.cel.models import SizedNode

__all__ = [
    "LIST_COST",
    "MAP_COST",
    "OBJECT_COST",
    "both",
    "contains",
    "estimate_both",
    "estimate_bytes_to_string",
    "estimate_contains",
    "estimate_first_argument",
    "estimate_matches",
    "estimate_second_size",
    "estimate_shorter",
    "estimate_string_to_bytes",
    "first",
    "matches",
    "second_size",
    "shorter",
    "size_or_unknown",
]

LIST_COST, MAP_COST, OBJECT_COST = 10, 30, 40
"""What it costs to make a list, a map or an object, without what is in them."""


def first(arguments: Sequence[Any], _: Any) -> int:
    """Of what walks over its first argument."""
    return math.ceil(size_of(arguments[0]) * STRING_FACTOR)


def second_size(arguments: Sequence[Any], _: Any) -> int:
    """Of what looks at each item of its second argument."""
    return size_of(arguments[1])


def shorter(arguments: Sequence[Any], _: Any) -> int:
    """Of what walks over both arguments until one ends."""
    return math.ceil(min(size_of(arguments[0]), size_of(arguments[1])) * STRING_FACTOR)


def both(arguments: Sequence[Any], _: Any) -> int:
    """Of what copies both arguments."""
    return math.ceil((size_of(arguments[0]) + size_of(arguments[1])) * STRING_FACTOR)


def matches(arguments: Sequence[Any], _: Any) -> int:
    text = math.ceil((1.0 + size_of(arguments[0])) * STRING_FACTOR)
    return text * math.ceil(size_of(arguments[1]) * REGEX_FACTOR)


def contains(arguments: Sequence[Any], _: Any) -> int:
    return math.ceil(size_of(arguments[0]) * STRING_FACTOR) * math.ceil(size_of(arguments[1]) * STRING_FACTOR)


def size_or_unknown(node: SizedNode) -> Size:
    return Size.unknown() if node.size is None else node.size


def estimate_first_argument(_: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    return CallEstimate(size_or_unknown(arguments[0]).by_factor(STRING_FACTOR))


def estimate_string_to_bytes(_: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    size = size_or_unknown(arguments[0])
    return CallEstimate(size.by_factor(STRING_FACTOR), Size(size.min, (size * Size.exactly(4)).max))


def estimate_bytes_to_string(_: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    size = size_or_unknown(arguments[0])
    return CallEstimate(size.by_factor(STRING_FACTOR), Size(size.min // 4, size.max))


def estimate_second_size(_: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    return CallEstimate(size_or_unknown(arguments[1]).by_factor(1))


def estimate_both(_: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    size = size_or_unknown(arguments[0]) + size_or_unknown(arguments[1])
    return CallEstimate(size.by_factor(STRING_FACTOR), size)


def estimate_shorter(_: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    longest = min(size_or_unknown(arguments[0]).max, size_or_unknown(arguments[1]).max)
    return CallEstimate(Cost(1 if longest else 0, longest).by_factor(STRING_FACTOR))


def estimate_matches(target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if target is None:
        return None
    text = (size_or_unknown(target) + Size.exactly(1)).by_factor(STRING_FACTOR)
    return CallEstimate(text * size_or_unknown(arguments[0]).by_factor(REGEX_FACTOR))


def estimate_contains(target: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate | None:
    if target is None:
        return None
    text = size_or_unknown(target).by_factor(STRING_FACTOR)
    return CallEstimate(text * size_or_unknown(arguments[0]).by_factor(STRING_FACTOR))
