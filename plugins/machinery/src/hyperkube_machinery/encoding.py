"""The one place where objects become JSON bytes.

Everything that encodes calls `encode`, so that a test can count: reads must make none (a stored object's bytes are
written once and spliced ever after).
"""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["calls", "encode", "encode_as_go", "encode_indented", "encode_sorted"]

_calls = 0


def encode(value: Any) -> bytes:
    """`value` as compact JSON in UTF-8. Dictionaries have string keys; integers beyond 64 bits raise TypeError."""
    global _calls
    _calls += 1
    return orjson.dumps(value)


# What Go's encoder escapes, so that JSON can stand in HTML and JavaScript. All of it stands in strings alone.
# Source: encoding/json.
_ESCAPED = tuple((text.encode(), b"\\u%04x" % ord(text)) for text in "<>&\u2028\u2029")


def encode_as_go(value: Any) -> bytes:
    """`value` as Go writes it, for what Go programs keep as they read it and compare byte by byte.

    The data of a ControllerRevision is such: where the ampersands of a daemon set's `a && b` are no escapes, upstream's
    controller finds the revision changed whenever it looks.
    """
    encoded = encode(value)
    for text, escape in _ESCAPED:
        if text in encoded:
            encoded = encoded.replace(text, escape)
    return encoded


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
