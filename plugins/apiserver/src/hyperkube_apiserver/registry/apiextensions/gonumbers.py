"""Numbers whose type no schema of Go's knows: how they are read, and what is left of them once they were written.

JSON's 2.0 is a float64 until it is written, as 2, and an int64 when it is read again. What doesn't fit 64 bits is a
float64 from the beginning.
Source: k8s.io/apimachinery/pkg/util/json, sigs.k8s.io/json, encoding/json.
"""

from __future__ import annotations

import math
import re
from typing import Any

from hyperkube_machinery.schema import WrongType
from hyperkube_machinery.schema.exact import type_error

__all__ = ["as_read", "as_written", "may_be_long", "may_differ"]

_MOST = 1 << 63
# What may be whole and yet has a fraction or exponent; 1.5 is written as it was read.
_whole_re = re.compile(rb"[0-9](?:\.0[,\]}]|e[0-9-])")
_long_re = re.compile(rb"[0-9]{19}")


def may_differ(encoded: bytes) -> bool:
    """Whether a value that was `encoded` here may hold a number that Go writes as another one."""
    return _whole_re.search(encoded) is not None


def may_be_long(text: bytes) -> bool:
    """Whether `text` may hold an integer of more than 64 bits."""
    return _long_re.search(text) is not None


def as_written(value: Any) -> Any:
    """`value` as it comes back from being written by Go: 2.0 is 2."""
    if isinstance(value, dict):
        return {key: as_written(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_written(item) for item in value]
    if isinstance(value, float) and value.is_integer() and -_MOST <= value < _MOST:
        return int(value)
    return _short(value)


def as_read(value: Any) -> Any:
    """`value` with a float for what no 64 bits hold. Raises WrongType for what no float64 holds either."""
    if isinstance(value, dict):
        return {key: as_read(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_read(item) for item in value]
    return _short(value)


def _short(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        raise WrongType(type_error("number", "float64"))
    return float(value) if type(value) is int and not -_MOST <= value < _MOST else value
