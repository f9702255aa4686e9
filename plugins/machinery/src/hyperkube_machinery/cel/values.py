"""The values of expressions that JSON has no form for.

The others are JSON's own: `str`, `bool`, `None`, `float` (double), `int`, `list`, `dict`; `bytes` are `bytes`, and
types are `types.Type`. What a library adds is any object with an attribute `cel_type`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from hyperkube_machinery.cel.types import DURATION, DYN, TIMESTAMP, Type, optional_of

__all__ = ["ABSENT", "Duration", "Optional", "Timestamp", "UInt"]


class UInt(int):
    """An unsigned number of 64 bits; equal to the int and the double of the same value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time, exact to the nanosecond, between the years 1 and 9999."""

    nanoseconds: int  # since 1970-01-01T00:00:00Z
    offset_seconds: int = field(default=0, compare=False)  # of the zone it was written in, which string() writes it in

    cel_type: ClassVar[Type] = TIMESTAMP


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time, exact to the nanosecond; it may be negative."""

    nanoseconds: int

    cel_type: ClassVar[Type] = DURATION


class Optional:
    """A value that may be absent. `ABSENT` is the one without."""

    __slots__ = ("present", "value")

    cel_type: ClassVar[Type] = optional_of(DYN)

    def __init__(self, value: Any, *, present: bool = True) -> None:
        self.value = value  # None if absent
        self.present = present

    def __repr__(self) -> str:
        return f"Optional({self.value!r})" if self.present else "ABSENT"


ABSENT: Final = Optional(None, present=False)
