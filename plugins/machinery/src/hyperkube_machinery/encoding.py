"""The one place where objects become JSON bytes.

Everything that encodes calls `encode`, so that a test can count: reads must make none (a stored object's bytes are
written once and spliced ever after).
"""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["calls", "encode", "encode_indented", "encode_sorted"]

_calls = 0


def encode(value: Any) -> bytes:
    """`value` as compact JSON in UTF-8. Dictionaries have string keys; integers beyond 64 bits raise TypeError."""
    global _calls
    _calls += 1
    return orjson.dumps(value)


def calls() -> int:
    """How often `encode` was called in this process."""
    return _calls


def encode_sorted(value: Any) -> bytes:
    """`value` as compact JSON whose text is the same for equal values: keys are in order."""
    global _calls
    _calls += 1
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def encode_indented(value: Any) -> bytes:
    """`value` as JSON laid out for reading."""
    global _calls
    _calls += 1
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)
