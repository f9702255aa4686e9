"""What is asked of a Table beside its kind. Here, so that nothing of printers is imported before there is a Table."""

from __future__ import annotations

from enum import Enum

from hyperkube_machinery.errors import APIError, FieldError

__all__ = ["SORTED_KINDS", "IncludeObject", "include_object"]

SORTED_KINDS = frozenset(("FlowSchema",))
"""Whose tables have an order of their own, and so can't be made in parts."""


class IncludeObject(Enum):
    """How much of its object a row carries."""

    NONE = "None"
    METADATA = "Metadata"
    OBJECT = "Object"


def include_object(value: str) -> IncludeObject:
    """Read the query parameter `includeObject`, "" where it is absent. Raises APIError 400."""
    try:
        return IncludeObject(value) if value else IncludeObject.METADATA
    except ValueError:
        error = FieldError.invalid("includeObject", value, "must be 'Metadata', 'Object', 'None', or empty")
        raise APIError.bad_request(f"Unable to convert to Table as requested: {error.field}: {error.message}") from None
