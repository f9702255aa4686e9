"""Levels, versions, the policy that the labels of a namespace come to, and what holds without any.

Source: k8s.io/pod-security-admission/api.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from hyperkube_machinery.errors import FieldError

__all__ = [
    "LATEST",
    "LEVELS",
    "MODES",
    "PREFIX",
    "PRIVILEGED",
    "Exemptions",
    "LevelVersion",
    "PodSecurityConfiguration",
    "Policy",
    "parse_level",
    "parse_version",
    "policy_of",
]

PREFIX = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
LEVELS = ("privileged", "baseline", "restricted")
"""From the weakest to the strictest."""

LATEST = 1 << 30
"""A minor version that is later than all."""

_PRIVILEGED, _, _RESTRICTED = LEVELS
_VERSION = re.compile(r"v1\.([0-9]|[1-9][0-9]*)", re.ASCII)
_MOST_DIGITS = 18
"""What Go's integers hold."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LevelVersion:
    """A level of the standard, as it was at a version."""

    level: str
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"

    @property
    def strictness(self) -> int:
        return LEVELS.index(self.level)

    @property
    def is_privileged(self) -> bool:
        """Whether everything is allowed, whatever the version."""
        return self.level == _PRIVILEGED

    def equals(self, other: LevelVersion) -> bool:
        """Whether both allow the same."""
        return self == other or (self.is_privileged and other.is_privileged)


PRIVILEGED = LevelVersion(_PRIVILEGED)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is refused, noted for auditors and warned of."""

    enforce: LevelVersion = PRIVILEGED
    audit: LevelVersion = PRIVILEGED
    warn: LevelVersion = PRIVILEGED

    def of(self, mode: str) -> LevelVersion:
        found: LevelVersion = getattr(self, mode)
        return found

    @property
    def is_privileged(self) -> bool:
        """Whether nothing is looked at."""
        return all(self.of(mode).is_privileged for mode in MODES)

    def equals(self, other: Policy) -> bool:
        """Whether both come to the same."""
        return all(self.of(mode).equals(other.of(mode)) for mode in MODES)


@dataclass(frozen=True, slots=True)
class Exemptions:
    """Whose pods are not looked at."""

    usernames: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PodSecurityConfiguration:
    """What holds where a namespace says nothing, and where nothing holds."""

    defaults: Policy = field(default_factory=Policy)
    exemptions: Exemptions = field(default_factory=Exemptions)


def parse_level(text: str) -> str:
    """Raises ValueError, whose text a client sees, for what is no level."""
    if text not in LEVELS:
        raise ValueError(f"must be one of {', '.join(LEVELS)}")
    return text


def parse_version(text: str) -> int:
    """The minor version. Raises ValueError, whose text a client sees, for what is no version."""
    if text == "latest":
        return LATEST
    match = _VERSION.fullmatch(text)
    if match is None or len(match[1]) > _MOST_DIGITS:
        raise ValueError('must be "latest" or "v1.x"')
    return int(match[1])


def policy_of(labels: Mapping[str, str], defaults: Policy) -> tuple[Policy, list[FieldError]]:
    """The policy that labels come to, and what is wrong with them.

    Of what is wrong, a level that is enforced is the strictest, others look at nothing, and a version is the latest.
    """
    errors: list[FieldError] = []
    if not any(label.startswith(PREFIX) for label in labels):
        return defaults, errors
    found = {mode: defaults.of(mode) for mode in MODES}
    valid: set[str] = set()
    for mode in MODES:
        level, version = f"{PREFIX}{mode}", f"{PREFIX}{mode}-version"
        if level in labels:
            instead = _RESTRICTED if mode == "enforce" else _PRIVILEGED
            before = len(errors)
            found[mode] = replace(found[mode], level=_read(labels, level, parse_level, instead, errors))
            if len(errors) == before:
                valid.add(mode)
        if version in labels:
            found[mode] = replace(found[mode], minor=_read(labels, version, parse_version, LATEST, errors))
    enforce, warn = found["enforce"], found["warn"]
    if f"{PREFIX}warn" not in labels and "enforce" in valid and enforce.strictness > warn.strictness:
        # Who is refused is told beforehand where it can be told.
        given = f"{PREFIX}warn-version" in labels
        found["warn"] = LevelVersion(enforce.level, warn.minor if given else enforce.minor)
    return Policy(**found), errors


def _read(labels: Mapping[str, str], label: str, parse: Callable[[str], T], instead: T, errors: list[FieldError]) -> T:
    try:
        return parse(labels[label])
    except ValueError as exc:
        errors.append(FieldError.invalid(f"metadata.labels[{label}]", labels[label], str(exc)))
        return instead
