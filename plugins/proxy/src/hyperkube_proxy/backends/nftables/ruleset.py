"""A table of nftables as a value: chains with their rules, sets, and the elements of sets and maps.

A rule is what the kernel takes for it and a comment that ends with a digest of that. The kernel gives rules back in
words of its own, the comment as it was: by it a rule is known again.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from hyperkube_proxy.backends.nftables.expressions import Expression, all_of

__all__ = ["Chain", "Element", "Elements", "Hook", "Key", "Rule", "Ruleset", "Set", "rule"]

Key: TypeAlias = tuple[str, ...]
"""The parts of an element's key, as `10.96.0.1`, `tcp`, `80`."""


class Rule(NamedTuple):
    """One rule."""

    expressions: tuple[Expression, ...]
    comment: str


def rule(*parts: Expression | tuple[Expression, ...], words: str = "") -> Rule:
    """The rule of `parts`, known by its comment; `words` are for people who list the table."""
    expressions = all_of(*parts)
    digest = hashlib.sha256()
    for expression in expressions:
        digest.update(expression if isinstance(expression, bytes) else repr(expression).encode())
    return Rule(expressions, f"{words} {b32encode(digest.digest()[:5]).decode()}".lstrip())


class Hook(NamedTuple):
    """Where in a packet's way a base chain is."""

    type: str  # "nat", "filter"
    at: str  # "prerouting", "input" …
    priority: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; `hook` is what makes a base chain of it."""

    rules: tuple[Rule, ...] = ()
    hook: Hook | None = None

    @property
    def comments(self) -> tuple[str, ...]:
        """What its rules are known by."""
        return tuple(rule.comment for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Set:
    """A named set or map."""

    key: tuple[str, ...]  # the types of its keys' parts, as nft names them
    verdicts: bool = False  # whether it is a map to verdicts
    timeout_seconds: int = 0  # of a set that packets add to

    @property
    def kind(self) -> str:
        return "map" if self.verdicts else "set"


class Element(NamedTuple):
    """What a key of a map leads to; nothing for one of a set."""

    value: str = ""
    comment: str = ""


Elements: TypeAlias = dict[Key, Element]


@dataclass(slots=True)
class Ruleset:
    """All of one table."""

    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Set] = field(default_factory=dict)
    elements: dict[str, Elements] = field(default_factory=dict)  # by set or map; those of affinity sets are not here

    def copy(self) -> Ruleset:
        """Another one with the same in it."""
        return Ruleset(dict(self.chains), dict(self.sets), {name: dict(each) for name, each in self.elements.items()})

    def joined(self, others: Iterable[Ruleset]) -> Ruleset:
        """All of this and of `others`, which have nothing in common, in one."""
        found = self.copy()
        for other in others:
            found.chains |= other.chains
            found.sets |= other.sets
            for name, elements in other.elements.items():
                found.elements.setdefault(name, {}).update(elements)
        return found
