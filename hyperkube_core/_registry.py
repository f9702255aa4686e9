"""The servers that a launcher knows: their names, and their descriptions, loaded one plugin at a time.

A plugin that cannot be used spoils the names that it offers and nothing else. Who gets a name that several claim:

1. the launcher itself, for its own commands (`run`, `plugins`, …) and the servers that were added to it in code;
2. the distribution that the name stands in: `hyperkube-dns` for `dns` (for a brand's group `km.servers`: `km-dns`);
3. a distribution that is called so after another of its servers, for that server's other names;
4. the first by the distribution's normalised name.

A server of which any name went to another is broken, and its reason names both.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hyperkube_core._describe import apply as apply
from hyperkube_core._describe import check
from hyperkube_core._discovery import GROUP, PluginRecord, discover
from hyperkube_core._errors import (
    DescriptionError,
    NameClash,
    PluginError,
    PluginLoadError,
    ServerNotFound,
)
from hyperkube_core._flags import near
from hyperkube_core._server import DerivedServer, Description, Server

_Plugin = tuple[str, str]  # distribution, target


class Listed(NamedTuple):
    """A server in a list: described, or broken with the reason. `record` is None for one that was added in code."""

    name: str
    record: PluginRecord | None
    server: Server | None = None
    error: PluginError | None = None


@dataclass(slots=True)
class Registry:
    """The servers of one entry-point group and those added in code; nothing is imported before it is asked for."""

    group: str = GROUP
    reserved: frozenset[str] = frozenset()
    """Names that the launcher keeps for its own commands."""
    find_records: Callable[[str], Iterable[PluginRecord]] = discover
    _added: dict[str, Description] = field(default_factory=dict)
    _owners: dict[str, PluginRecord] | None = None
    _losers: list[tuple[PluginRecord, str]] = field(default_factory=list)
    """Records whose name went to another, and to whom."""
    _loaded: dict[_Plugin, tuple[Description, ...] | PluginError] = field(default_factory=dict)
    _others: dict[str, Registry] = field(default_factory=dict)
    """Registries of other groups, for servers derived from theirs."""

    def add(self, description: Description) -> None:
        """Offer a server that no plugin brings. Raises DescriptionError, NameClash."""
        check(description, description.name if isinstance(description, Server | DerivedServer) else "")
        for name in (description.name, *description.aliases):
            if name in self.reserved:
                raise NameClash(description.name, f"the name {name!r} is a command of the launcher")
            if name in self._added:
                raise NameClash(description.name, f"the name {name!r} is taken by server {self._added[name].name!r}")
        for name in (description.name, *description.aliases):
            self._added[name] = description
        self._owners = None  # which it may have taken a name from
        self._losers.clear()

    @property
    def owners(self) -> Mapping[str, PluginRecord]:
        """The plugin that each installed name belongs to."""
        if self._owners is None:
            owners: dict[str, PluginRecord] = {}
            for record in self._ranked():
                if record.name in self.reserved:
                    self._losers.append((record, "a command of the launcher"))
                elif record.name in self._added:
                    self._losers.append((record, "a server of the launcher itself"))
                elif record.name in owners:
                    self._losers.append((record, f"distribution {owners[record.name].distribution!r}"))
                else:
                    owners[record.name] = record
            self._owners = owners
        return self._owners

    def _ranked(self) -> list[PluginRecord]:
        """All records, those with the better claim to their names first."""
        records = list(self.find_records(self.group))
        brand = self.group.partition(".")[0]
        named_after = {record.distribution for record in records if record.distribution == f"{brand}-{record.name}"}
        return sorted(
            records,
            key=lambda record: (
                record.distribution != f"{brand}-{record.name}",
                record.distribution not in named_after,
                record.distribution,
                record.name,
            ),
        )

    def knows(self, name: str) -> bool:
        """Whether somebody offers `name`, were it a broken plugin."""
        return name in self._added or name in self.owners or any(record.name == name for record, _ in self._losers)

    def names(self) -> list[str]:
        """Every name that can be called, other names included."""
        return sorted({*self._added, *self.owners})

    def find(self, name: str) -> Server:
        """The server called `name`, importing its plugin and no other.

        Raises ServerNotFound, and PluginError if its plugin cannot be used.
        """
        return self._resolve(self._describe(name), ())

    def _describe(self, name: str) -> Description:
        added = self._added.get(name)
        if added is not None:
            return added
        record = self.owners.get(name)
        if record is None:
            raise ServerNotFound(name, near(name, self.names()))
        descriptions = self._load(record)
        for description in descriptions:
            if name == description.name or name in description.aliases:
                self._check_names(description, record)
                return description
        offered = ", ".join(repr(description.name) for description in descriptions) or "none"
        raise DescriptionError(name, f"{_who(record)} registers no server of that name (it registers {offered})")

    def _check_names(self, description: Description, record: PluginRecord) -> None:
        for name in (description.name, *description.aliases):
            owner = self.owners.get(name)
            if name in self.reserved:
                taker = "a command of the launcher"
            elif name in self._added:
                taker = "a server of the launcher itself"
            elif owner is not None and owner.distribution != record.distribution:
                taker = f"distribution {owner.distribution!r}"
            else:
                continue
            raise NameClash(description.name, _clash(name, record, taker))

    def _load(self, record: PluginRecord) -> tuple[Description, ...]:
        plugin = (record.distribution, record.target)
        found = self._loaded.get(plugin)
        if found is None:
            try:
                found = load(record)
            except PluginError as exc:
                found = exc
            self._loaded[plugin] = found
        if isinstance(found, PluginError):
            # A fresh one for each name: it is the name that was called that is broken.
            raise type(found)(record.name, found.reason) from found.__cause__
        return found

    def _resolve(self, description: Description, seen: tuple[tuple[str, str], ...]) -> Server:
        if isinstance(description, Server):
            return description
        key = (description.group, description.base)
        if key in seen:
            raise DescriptionError(description.name, f"is made from itself, by way of {description.base!r}")
        registry = self._other(description.group)
        if description.base not in registry._added and description.base not in registry.owners:
            raise PluginError(
                description.name,
                f"is made from the server {description.base!r}, which is not installed: install its distribution",
            )
        base = registry._resolve(registry._describe(description.base), (*seen, key))
        return apply(description, base)

    def _other(self, group: str) -> Registry:
        if group == self.group:
            return self
        if group not in self._others:
            self._others[group] = Registry(group, find_records=self.find_records, _others={self.group: self})
        return self._others[group]

    def listing(self) -> Iterator[Listed]:
        """Every server once, by name, importing every plugin (never a server)."""
        listed: dict[str, Listed] = {}
        for name, description in self._added.items():
            if name == description.name:
                listed[name] = self._list(name, None)
        primary: set[str] = set()
        for name, record in self.owners.items():
            item = self._list(name, record)
            if item.server is not None and item.server.name != name and item.server.name in self.owners:
                continue  # another name of a server that is listed under its own
            listed.setdefault(name, item)
            if item.server is not None:
                primary.add(item.server.name)
        yield from (listed[name] for name in sorted(listed))
        for record, taker in self._losers:
            error = NameClash(record.name, _clash(record.name, record, taker))
            yield Listed(record.name, record, None, error)

    def _list(self, name: str, record: PluginRecord | None) -> Listed:
        try:
            return Listed(name, record, self.find(name))
        except PluginError as exc:
            return Listed(name, record, None, exc)


def _who(record: PluginRecord) -> str:
    return f"distribution {record.distribution!r} {record.version}"


def _clash(name: str, record: PluginRecord, taker: str) -> str:
    return f"{_who(record)} claims the name {name!r}, which is taken by {taker}"


def load(record: PluginRecord) -> tuple[Description, ...]:
    """Import the plugin and ask its hook, and no other's, what it offers. Raises PluginError."""
    descriptions = ask(record, "hyperkube_servers")
    names: set[str] = set()
    for description in descriptions:
        check(description, record.name)
        mine = {description.name, *description.aliases}
        if names & mine:
            raise DescriptionError(record.name, f"it registers the name {min(names & mine)!r} twice")
        names |= mine
    return descriptions


def ask(record: PluginRecord, hook: str) -> tuple[Any, ...]:
    """Import the plugin, and return all that its implementation of `hook` returns. Raises PluginError."""
    import pluggy  # `inspect` comes with it

    from hyperkube_core import _hookspecs

    plugin = import_to_describe(record.target, record.name)
    manager = pluggy.PluginManager(_hookspecs.PROJECT)
    manager.add_hookspecs(_hookspecs)
    try:
        manager.register(plugin, name=record.target)
        with contextlib.redirect_stdout(sys.stderr):
            answers = getattr(manager.hook, hook)()
            # Whatever the plugin returns is iterated here: it may be a generator, which runs only now.
            found = tuple(item for answer in answers for item in answer)
    except (Exception, SystemExit) as exc:  # the plugin's own code, which may raise anything
        raise PluginLoadError(record.name, f"its hook failed ({_said(exc)})") from exc
    if not answers:
        raise DescriptionError(record.name, f"{record.target} implements no hook {hook}")
    return found


def import_to_describe(target: str, plugin: str) -> Any:
    """As `import_from`, for what describes a server; what the import prints goes to the standard error.

    Programs read the standard output of `hk plugins`, `--print-config` and completion. Only for the main thread: the
    standard output is the whole process's.
    """
    with contextlib.redirect_stdout(sys.stderr):
        return import_from(target, plugin)


def import_from(target: str, plugin: str) -> Any:
    """The module, or the `module:attribute`, that `target` names; PluginLoadError whatever the import raises."""
    module_name, _, attribute = target.partition(":")
    try:
        with _not_collecting():
            found: Any = importlib.import_module(module_name)
        for name in filter(None, attribute.split(".")):
            found = getattr(found, name)
    except (Exception, SystemExit) as exc:  # importing runs code, which may raise anything
        raise PluginLoadError(plugin, f"cannot import {target} ({_said(exc)})") from exc
    return found


@contextlib.contextmanager
def _not_collecting() -> Iterator[None]:
    """Look for no garbage: nearly all that an import makes stays, and a large one took a tenth of its time to look."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _said(exc: BaseException) -> str:
    text = str(exc)
    said = f"{type(exc).__name__}: {text}" if text else type(exc).__name__
    newer = isinstance(exc, TypeError) and "unexpected keyword argument" in text
    newer = newer or (isinstance(exc, ImportError) and (exc.name or "").split(".")[0] == "hyperkube_core")
    return f"{said}; it may be written for a newer hyperkube-core" if newer else said
