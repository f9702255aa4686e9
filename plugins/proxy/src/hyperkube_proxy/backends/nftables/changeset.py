"""From the table that is there to the one that should be, in steps that may be cut into transactions between any two.

Their order keeps every state on the way sound: what is referred to is there before, and goes after. One transaction is
what a change takes unless it is a very large one; then no connection meets half of a service. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from hyperkube_proxy.backends.nftables.naming import is_of_service
from hyperkube_proxy.backends.nftables.ruleset import Element, Elements, Key, Ruleset

__all__ = ["Scope", "changes", "in_transactions", "whole"]


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


def changes(prefix: str, before: Ruleset, after: Ruleset, scope: Scope) -> list[str]:
    """nft's commands, in steps of one or more lines; `prefix` is the table's family and name.

    A chain of a service that is not needed any more is only emptied: see `NFTablesBackend`.
    """
    return [*_Changes(prefix, before, after, scope).steps()]


def in_transactions(steps: Iterable[str], longest: int) -> Iterator[str]:
    """`steps` joined to texts of at most `longest` characters, save where one step alone is longer."""
    held: list[str] = []
    length = 0
    for step in steps:
        if held and length + len(step) > longest:
            yield "".join(held)
            held, length = [], 0
        held.append(step)
        length += len(step)
    if held:
        yield "".join(held)


class _Changes:
    def __init__(self, prefix: str, before: Ruleset, after: Ruleset, scope: Scope) -> None:
        self._prefix = prefix
        self._before = before
        self._after = after
        self._chains = sorted(scope.chains)
        self._sets = sorted(scope.sets)
        self._elements = sorted(scope.elements)

    def steps(self) -> Iterator[str]:
        yield from self._new_sets()
        yield from self._new_chains()
        yield from self._contents()
        yield from self._new_elements()
        yield from self._gone_elements()
        yield from self._gone_chains()
        yield from self._gone_sets()

    def _new_sets(self) -> Iterator[str]:
        for name in self._sets:
            wanted, there = self._after.sets.get(name), self._before.sets.get(name)
            if wanted is not None and there is None:
                yield f"add {wanted.kind} {self._prefix} {name} {{ {wanted.definition} }}\n"

    def _new_chains(self) -> Iterator[str]:
        for name in self._chains:
            wanted = self._after.chains.get(name)
            # Base chains come with their rules, so that none is in the way of packets while it is empty.
            if wanted is not None and name not in self._before.chains and not wanted.hook:
                yield f"add chain {self._prefix} {name}\n"

    def _contents(self) -> Iterator[str]:
        """First those that others jump to."""
        for hooked in (False, True):
            for name in self._chains:
                wanted, there = self._after.chains.get(name), self._before.chains.get(name)
                if wanted is None or bool(wanted.hook) is not hooked:
                    continue
                if there is None and wanted.hook:
                    yield f"add chain {self._prefix} {name} {{ {wanted.hook} }}\n" + self._rules(name)
                elif there is None:
                    yield self._rules(name)
                elif there.comments != wanted.comments:
                    yield f"flush chain {self._prefix} {name}\n" + self._rules(name)

    def _rules(self, name: str) -> str:
        return "".join(f"add rule {self._prefix} {name} {rule}\n" for rule in self._after.chains[name].rules)

    def _new_elements(self) -> Iterator[str]:
        for name, key in self._elements:
            wanted, there = self._wanted(name).get(key), self._there(name).get(key)
            if wanted is not None and wanted != there:
                drop = self._element("delete", name, key, Element()) if there is not None else ""
                yield drop + self._element("add", name, key, wanted)

    def _gone_elements(self) -> Iterator[str]:
        for name, key in self._elements:
            if key in self._there(name) and key not in self._wanted(name) and name in self._after.sets:
                yield self._element("delete", name, key, Element())

    def _gone_chains(self) -> Iterator[str]:
        for name in self._chains:
            there = self._before.chains.get(name)
            if there is None or name in self._after.chains:
                continue
            if is_of_service(name):
                if there.rules:
                    yield f"flush chain {self._prefix} {name}\n"
            else:
                yield f"flush chain {self._prefix} {name}\ndelete chain {self._prefix} {name}\n"

    def _gone_sets(self) -> Iterator[str]:
        for name in self._sets:
            if name in self._before.sets and name not in self._after.sets:
                yield f"delete {self._before.sets[name].kind} {self._prefix} {name}\n"

    def _wanted(self, name: str) -> Elements:
        return self._after.elements.get(name, {})

    def _there(self, name: str) -> Elements:
        return self._before.elements.get(name, {})

    def _element(self, verb: str, name: str, key: Key, element: Element) -> str:
        comment = f' comment "{element.comment}"' if element.comment else ""
        value = f" : {element.value}" if element.value else ""
        return f"{verb} element {self._prefix} {name} {{ {' . '.join(key)}{comment}{value} }}\n"
