"""Sets of a job's indexes, written as `1,3-5`. Source: k8s.io/kubernetes/pkg/apis/batch/validation."""

from __future__ import annotations

import re

__all__ = ["common_index", "parse_indexes"]

Interval = tuple[int, int]  # the first and the last


def parse_indexes(text: str, completions: int) -> list[Interval]:
    """The intervals, which increase and stay below `completions`. Raises ValueError in the API server's words."""
    intervals: list[Interval] = []
    for part in text.split(",") if text else ():
        first, last = _parse_interval(part, completions)
        if intervals and intervals[-1][1] >= first:
            raise ValueError(f"non-increasing order, previous: {intervals[-1][1]}, current: {first}")
        intervals.append((first, last))
    return intervals


def _parse_interval(text: str, completions: int) -> Interval:
    limits = text.split("-")
    if len(limits) > 2:
        rule = "an index interval can have at most two parts separated by '-'"
        raise ValueError(f'the fragment "{text}" violates the requirement that {rule}')
    numbers = []
    for limit in limits:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", limit):
            raise ValueError(f'cannot convert string to integer for index: "{limit}"')
        if int(limit) >= completions:
            raise ValueError(f'too large index: "{limit}"')
        numbers.append(int(limit))
    if len(numbers) > 1 and numbers[0] >= numbers[1]:
        raise ValueError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]


def common_index(text: str, other: str, completions: int) -> int | None:
    """An index that both sets hold; what can't be read is passed over."""
    mine, theirs = _readable(text, completions), _readable(other, completions)
    position = beside = 0
    while position < len(mine) and beside < len(theirs):
        (first, last), (start, end) = mine[position], theirs[beside]
        if first <= end and start <= last:
            return max(first, start)
        if first <= start:
            position += 1
        else:
            beside += 1
    return None


def _readable(text: str, completions: int) -> list[Interval]:
    intervals = []
    for part in text.split(",") if text else ():
        try:
            intervals.append(_parse_interval(part, completions))
        except ValueError:
            continue
    return intervals
