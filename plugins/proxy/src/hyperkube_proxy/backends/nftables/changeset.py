"""From the table that is there to the one that should be, in steps that may be cut into transactions between any two.

Their order keeps every state on the way sound: what is referred to is there before, and goes after. One transaction is
what a change takes unless it is a very large one; then no connection meets half of a service. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from hyperkube_proxy.backends.nftables.encoding import Encoder
from hyperkube_proxy.backends.nftables.naming import is_of_service
from hyperkube_proxy.backends.nftables.ruleset import Elements, Key, Ruleset
from hyperkube_proxy.netlink import Message

__all__ = ["Scope", "Step", "changes", "in_transactions", "whole"]

Step = tuple[Message, ...]
"""What must not be parted."""

_HEADER_BYTES = 16
_AT_ONCE = 100  # elements in one step


@dataclass(frozen=True, slots=True)
class Scope:
    """What of two tables is compared; the rest is known to be equal."""

    chains: Collection[str]
    sets: Collection[str]
    elements: Collection[tuple[str, Key]]


def whole(before: Ruleset, after: Ruleset) -> Scope:
    """Everything."""
    tables = (before, after)
    return Scope(
        chains={name for table in tables for name in table.chains},
        sets={name for table in tables for name in table.sets},
        elements={(name, key) for table in tables for name, each in table.elements.items() for key in each},
    )


def changes(encoder: Encoder, before: Ruleset, after: Ruleset, scope: Scope) -> list[Step]:
    """What to tell the kernel.

    A chain of a service that is not needed any more is only emptied: see `NFTablesBackend`.
    """
    return [*_Changes(encoder, before, after, scope).steps()]


def in_transactions(steps: Iterable[Step], longest: int) -> Iterator[list[Message]]:
    """`steps` joined to messages of at most `longest` bytes, save where one step alone is longer."""
    held: list[Message] = []
    length = 0
    for step in steps:
        size = sum(len(message.body) + _HEADER_BYTES for message in step)
        if held and length + size > longest:
            yield held
            held, length = [], 0
        held += step
        length += size
    if held:
        yield held


class _Changes:
    def __init__(self, encoder: Encoder, before: Ruleset, after: Ruleset, scope: Scope) -> None:
        self._encoder = encoder
        self._before = before
        self._after = after
        self._chains = sorted(scope.chains)
        self._sets = sorted(scope.sets)
        self._elements = sorted(scope.elements)

    def steps(self) -> Iterator[Step]:
        yield from self._new_sets()
        yield from self._new_chains()
        yield from self._contents()
        yield from self._changed_elements()
        yield from self._new_elements()
        yield from self._gone_elements()
        yield from self._gone_chains()
        yield from self._gone_sets()

    def _new_sets(self) -> Iterator[Step]:
        for name in self._sets:
            wanted = self._after.sets.get(name)
            if wanted is not None and name not in self._before.sets:
                yield (self._encoder.add_set(name, wanted),)

    def _new_chains(self) -> Iterator[Step]:
        for name in self._chains:
            wanted = self._after.chains.get(name)
            # Base chains come with their rules, so that none is in the way of packets while it is empty.
            if wanted is not None and name not in self._before.chains and not wanted.hook:
                yield (self._encoder.add_chain(name, wanted),)

    def _contents(self) -> Iterator[Step]:
        """First those that others jump to."""
        for hooked in (False, True):
            for name in self._chains:
                wanted, there = self._after.chains.get(name), self._before.chains.get(name)
                if wanted is None or bool(wanted.hook) is not hooked:
                    continue
                if there is None and wanted.hook:
                    yield self._encoder.add_chain(name, wanted), *self._rules(name)
                elif there is None:
                    yield tuple(self._rules(name))
                elif there.comments != wanted.comments:
                    yield self._encoder.flush_chain(name), *self._rules(name)

    def _rules(self, name: str) -> Iterator[Message]:
        for rule in self._after.chains[name].rules:
            yield from self._encoder.add_rule(name, rule)

    def _changed_elements(self) -> Iterator[Step]:
        """Each at once, so that no packet finds it missing."""
        for name, key in self._elements:
            wanted, there = self._wanted(name).get(key), self._there(name).get(key)
            if wanted is not None and there is not None and wanted != there:
                kind = self._after.sets[name]
                yield (
                    *self._encoder.delete_elements(name, kind, (key,)),
                    *self._encoder.add_elements(name, kind, ((key, wanted),)),
                )

    def _new_elements(self) -> Iterator[Step]:
        new = (
            (name, key) for name, key in self._elements if key in self._wanted(name) and key not in self._there(name)
        )
        for name, keys in _together(new):
            elements = [(key, self._wanted(name)[key]) for key in keys]
            yield tuple(self._encoder.add_elements(name, self._after.sets[name], elements))

    def _gone_elements(self) -> Iterator[Step]:
        gone = (
            each
            for each in self._elements
            if self._is_there(*each) and not self._is_wanted(*each) and each[0] in self._after.sets
        )
        for name, keys in _together(gone):
            yield tuple(self._encoder.delete_elements(name, self._after.sets[name], keys))

    def _gone_chains(self) -> Iterator[Step]:
        for name in self._chains:
            there = self._before.chains.get(name)
            if there is None or name in self._after.chains:
                continue
            if is_of_service(name):
                if there.rules:
                    yield (self._encoder.flush_chain(name),)
            else:
                yield self._encoder.flush_chain(name), self._encoder.delete_chain(name)

    def _gone_sets(self) -> Iterator[Step]:
        for name in self._sets:
            if name in self._before.sets and name not in self._after.sets:
                yield (self._encoder.delete_set(name),)

    def _is_wanted(self, name: str, key: Key) -> bool:
        return key in self._wanted(name)

    def _is_there(self, name: str, key: Key) -> bool:
        return key in self._there(name)

    def _wanted(self, name: str) -> Elements:
        return self._after.elements.get(name, {})

    def _there(self, name: str) -> Elements:
        return self._before.elements.get(name, {})


def _together(elements: Iterable[tuple[str, Key]]) -> Iterator[tuple[str, list[Key]]]:
    """Neighbours that are in one set, some at a time."""
    held: list[Key] = []
    of = ""
    for name, key in elements:
        if held and (name != of or len(held) >= _AT_ONCE):
            yield of, held
            held = []
        of = name
        held.append(key)
    if held:
        yield of, held
