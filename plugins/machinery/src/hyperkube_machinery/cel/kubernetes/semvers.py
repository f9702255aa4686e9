"""Versions as semver.org has them, in the words of the library that upstream reads them with.

Source: github.com/blang/semver/v4, k8s.io/apiserver/pkg/cel/library/semverlib.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

from hyperkube_machinery.quoting import quoted

__all__ = ["Semver", "SemverError"]

_numbers_re = re.compile("[0-9]*")
_word_re = re.compile("[A-Za-z0-9-]*")
_MAX_UINT64 = 2**64 - 1


class SemverError(ValueError):
    """A text is no version."""


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Semver:
    """A version. What was built of it says nothing about its order."""

    major: int
    minor: int
    patch: int
    prerelease: tuple[int | str, ...] = ()
    build: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, normalize: bool = False) -> Semver:
        """The version in `text`; with `normalize`, `v01.2` is 1.2.0. Raises SemverError."""
        return _parse(_normalized(text) if normalize else text)

    @property
    def _order(self) -> tuple[object, ...]:
        # Numbers come before words, and a version that is out comes after all that lead to it.
        parts = tuple((isinstance(part, str), part) for part in self.prerelease)
        return self.major, self.minor, self.patch, not parts, parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self._order == other._order

    def __lt__(self, other: Semver) -> bool:
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        if self.prerelease:
            text += "-" + ".".join(map(str, self.prerelease))
        return text + ("+" + ".".join(self.build) if self.build else "")


def _parse(text: str) -> Semver:
    if not text:
        raise SemverError("Version string empty")
    parts = text.split(".", 2)
    if len(parts) != 3:
        raise SemverError("No Major.Minor.Patch elements found")
    major, minor = _number(parts[0], "major"), _number(parts[1], "minor")
    rest, plus, build = parts[2].partition("+")
    patch, dash, before = rest.partition("-")
    return Semver(
        major,
        minor,
        _number(patch, "patch"),
        tuple(map(_prerelease, before.split("."))) if dash else (),
        tuple(map(_build, build.split("."))) if plus else (),
    )


def _normalized(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            part = part.lstrip("0")
            parts[index] = part if part[:1] in tuple("0123456789") else f"0{part}"
    if len(parts) < 3:
        if "+" in parts[-1] or "-" in parts[-1]:
            raise SemverError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


def _number(text: str, which: str) -> int:
    if not _numbers_re.fullmatch(text):
        raise SemverError(f"Invalid character(s) found in {which} number {quoted(text)}")
    if len(text) > 1 and text.startswith("0"):
        raise SemverError(f"{which.capitalize()} number must not contain leading zeroes {quoted(text)}")
    return _uint64(text)


def _uint64(text: str) -> int:
    if not text:
        raise SemverError(f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax")
    if len(text) > 20 or int(text) > _MAX_UINT64:
        raise SemverError(f"strconv.ParseUint: parsing {quoted(text)}: value out of range")
    return int(text)


def _prerelease(text: str) -> int | str:
    if not text:
        raise SemverError("Prerelease is empty")
    if _numbers_re.fullmatch(text):
        if len(text) > 1 and text.startswith("0"):
            raise SemverError(f"Numeric PreRelease version must not contain leading zeroes {quoted(text)}")
        return _uint64(text)
    if not _word_re.fullmatch(text):
        raise SemverError(f"Invalid character(s) found in prerelease {quoted(text)}")
    return text


def _build(text: str) -> str:
    if not text:
        raise SemverError("Build meta data is empty")
    if not _word_re.fullmatch(text):
        raise SemverError(f"Invalid character(s) found in build meta data {quoted(text)}")
    return text
