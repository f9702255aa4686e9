"""How much expressions may cost and be, in units of cost and bytes.

Source: k8s.io/apiserver/pkg/apis/cel/config.go, k8s.io/apiserver/pkg/cel/limits.go.
"""

from __future__ import annotations

__all__ = [
    "CALL_LIMIT",
    "DATE_JSON",
    "MATCH_CONDITIONS_BUDGET",
    "MAX_DATETIME_JSON",
    "MAX_DURATION_JSON",
    "MAX_FORMAT",
    "MAX_MESSAGE",
    "MAX_REQUEST",
    "MIN_BOOL_JSON",
    "MIN_DATETIME_JSON",
    "MIN_DURATION_JSON",
    "MIN_NUMBER_JSON",
    "MIN_STRING_JSON",
    "NAME_FORMAT_PATTERN",
    "OBJECT_BUDGET",
    "UNBOUNDED",
]

CALL_LIMIT = 1_000_000
"""Cost of one evaluation of one expression: about 0.1 s upstream."""
OBJECT_BUDGET = 10_000_000
"""Cost of all rules of a custom resource, or of all expressions of a policy's binding, in one request."""
MATCH_CONDITIONS_BUDGET = 2_500_000
"""Cost of all matchConditions of a webhook or of a policy's binding in one request."""
MAX_REQUEST = 3 * 1024 * 1024
"""Bytes of the largest request that estimates reckon with, whatever the server takes."""
MAX_MESSAGE = 5 * 1024
"""Bytes of what a messageExpression may say."""
UNBOUNDED = 2**64 - 1
"""What estimates say when nothing limits a size or a cost."""

# Bytes that values take in JSON, quotation marks included.
MIN_STRING_JSON = 2
MIN_BOOL_JSON = 4
MIN_NUMBER_JSON = 1
MIN_DURATION_JSON = 3
MAX_DURATION_JSON = 32
DATE_JSON = 12
MIN_DATETIME_JSON = 21
MAX_DATETIME_JSON = 32

MAX_FORMAT = 64
NAME_FORMAT_PATTERN = 128
