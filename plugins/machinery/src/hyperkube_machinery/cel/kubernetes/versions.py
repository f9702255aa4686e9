"""Versions in expressions: `semver("1.2.3").isLessThan(semver("v2", true))`.

Source: k8s.io/apiserver/pkg/cel/library/semverlib.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import total_ordering
from typing import ClassVar

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kubernetes import typenames
from hyperkube_machinery.cel.kubernetes.semvers import Semver, SemverError
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.types import BOOL, INT, STRING, Type

__all__ = ["VERSIONS", "SemverValue"]


@total_ordering
@dataclass(frozen=True, slots=True)
class SemverValue:
    version: Semver

    cel_type: ClassVar[Type] = typenames.SEMVER

    def __lt__(self, other: SemverValue) -> bool:
        return self.version < other.version


def _semver(text: str, normalize: bool = False) -> SemverValue:
    try:
        return SemverValue(Semver.parse(text, normalize=normalize))
    except SemverError as exc:
        raise EvaluationError(str(exc)) from None


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        Semver.parse(text, normalize=normalize)
    except SemverError:
        return False
    return True


def _compare(one: SemverValue, other: SemverValue) -> int:
    return (one > other) - (one < other)


def _signed(number: int) -> int:
    """As Go converts a uint64 to an int64."""
    return number - 2**64 if number >= 2**63 else number


_V = typenames.SEMVER

VERSIONS = Library(
    name="kubernetes.Semver",
    types={_V.name: _V},
    functions=(
        Function(
            "semver",
            Overload("string_to_semver", (STRING,), _V, _semver),
            Overload("string_bool_to_semver", (STRING, BOOL), _V, _semver),
        ),
        Function(
            "isSemver",
            Overload("is_semver_string", (STRING,), BOOL, _is_semver),
            Overload("is_semver_string_bool", (STRING, BOOL), BOOL, _is_semver),
        ),
        Function(
            "isGreaterThan",
            Overload("semver_is_greater_than", (_V, _V), BOOL, lambda one, other: one > other, member=True),
        ),
        Function(
            "isLessThan", Overload("semver_is_less_than", (_V, _V), BOOL, lambda one, other: one < other, member=True)
        ),
        Function("compareTo", Overload("semver_compare_to", (_V, _V), INT, _compare, member=True)),
        Function("major", Overload("semver_major", (_V,), INT, lambda one: _signed(one.version.major), member=True)),
        Function("minor", Overload("semver_minor", (_V,), INT, lambda one: _signed(one.version.minor), member=True)),
        Function("patch", Overload("semver_patch", (_V,), INT, lambda one: _signed(one.version.patch), member=True)),
    ),
)
