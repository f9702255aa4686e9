"""A table of nftables as a value: chains with their rules, sets, and the elements of sets and maps.

A rule is its text and a comment that ends with a digest of that text. The kernel gives rules back in words of its own,
the comment as it was: by it a rule is known again, whatever version of nft writes and reads.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

__all__ = ["Chain", "Element", "Elements", "Key", "Ruleset", "Set", "commented", "rules"]

Key: TypeAlias = tuple[str, ...]
"""The parts of an element's key, as `10.96.0.1`, `tcp`, `80`."""


class Rule(NamedTuple):
    """One rule."""

    text: str
    comment: str

    def __str__(self) -> str:
        return f'{self.text} comment "{self.comment}"'


def commented(text: str, words: str = "") -> Rule:
    """The rule `text`, known by its comment; `words` are for people who list the table."""
    digest = b32encode(hashlib.sha256(text.encode()).digest()[:5]).decode()
    return Rule(text, f"{words} {digest}".lstrip())


def rules(*texts: str) -> tuple[Rule, ...]:
    return tuple(commented(text) for text in texts)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; `hook` is what makes a base chain of it, in nft's words."""

    rules: tuple[Rule, ...] = ()
    hook: str = ""

    @property
    def comments(self) -> tuple[str, ...]:
        """What its rules are known by."""
        return tuple(rule.comment for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Set:
    """A named set or map, in nft's words: `type ipv4_addr ; `."""

    kind: str  # "set" or "map"
    definition: str


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
