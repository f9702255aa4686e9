"""Which clusters `hk up` can start: contributions found, joined by kind, and made into a plan.

A contribution is found by an entry point of the group `hyperkube.clusters` (for a brand's launcher: of its own), and
one that cannot be used spoils nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyperkube_core._cluster import ClusterHome, Contribution, Groundwork, Part
from hyperkube_core._discovery import GROUP, discover
from hyperkube_core._errors import (
    DescriptionError,
    HyperkubeError,
    PluginError,
    PluginVersionError,
    ServerNotFound,
    UsageError,
)
from hyperkube_core._flags import near
from hyperkube_core._registry import ask, import_from
from hyperkube_core._server import PLUGIN_API, Server

if TYPE_CHECKING:
    from hyperkube_core._discovery import PluginRecord
    from hyperkube_core._home import Home
    from hyperkube_core._launcher import HyperKube


@dataclass(frozen=True, slots=True)
class Missing:
    """A part of a cluster that nobody here offers."""

    server: str
    distribution: str
    reason: str = ""
    """Why it cannot be used, where it is installed."""

    @property
    def advice(self) -> str:
        if self.reason:
            return self.reason
        return f"pip install {self.distribution}" if self.distribution else "install the distribution that has it"


@dataclass(frozen=True, slots=True)
class Placed:
    """A server that is to run, and what it waits for: names of other such servers."""

    server: Server
    after: tuple[str, ...]
    extra: tuple[str, ...] = ()
    """Arguments that come last."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cluster is to be made of."""

    kind: str
    servers: tuple[Placed, ...]
    missing: tuple[Missing, ...]
    contributions: tuple[Contribution, ...]


@dataclass(slots=True)
class Wish:
    """What a user wants otherwise than contributions have it."""

    with_: Sequence[str] = ()
    without: Sequence[str] = ()
    settings: Sequence[str] = ()
    """`SERVER.flag=value`, each."""


@dataclass(slots=True)
class Found:
    """What is installed: contributions by kind, the likeliest kind first, and those that are broken."""

    kinds: dict[str, list[Contribution]] = field(default_factory=dict)
    broken: list[PluginError] = field(default_factory=list)


def find(launcher: HyperKube) -> Found:
    """Every contribution to the launcher's clusters, importing their plugins."""
    brand = launcher.group.partition(".")[0]
    records = discover(f"{brand}.clusters", environment=launcher.environment)
    # The kind of the distribution that is called so is the one that is meant where none is named.
    ranked = sorted(records, key=lambda record: (record.distribution != f"{brand}-cluster", record))
    found = Found()
    seen = set()
    for record in ranked:
        if (record.distribution, record.target) in seen:
            continue
        seen.add((record.distribution, record.target))
        try:
            for contribution in load(record):
                found.kinds.setdefault(contribution.kind, []).append(contribution)
        except PluginError as exc:
            found.broken.append(exc)
    return found


def load(record: PluginRecord) -> tuple[Contribution, ...]:
    """What one plugin contributes. Raises PluginError."""
    contributions = ask(record, "hyperkube_clusters")
    for contribution in contributions:
        check(contribution, record.name)
    return contributions


def check(contribution: object, plugin: str) -> None:
    """Raises DescriptionError or PluginVersionError unless this is a contribution that can be used."""
    if not isinstance(contribution, Contribution):
        raise DescriptionError(plugin, f"it contributes {contribution!r}, which is no Contribution")
    api = contribution.plugin_api
    if not isinstance(api, int) or api < 1:
        raise DescriptionError(plugin, f"plugin_api is {api!r}, no version")
    if api > PLUGIN_API:
        raise PluginVersionError(
            plugin,
            f"its contribution to {contribution.kind!r} was written for version {api} of the plugin API and this"
            f" hyperkube-core has version {PLUGIN_API}: upgrade hyperkube-core",
        )
    if not isinstance(contribution.kind, str) or not contribution.kind:
        raise DescriptionError(plugin, f"the kind of cluster is {contribution.kind!r}, no name")
    if not all(isinstance(part, Part) for part in contribution.parts):
        raise DescriptionError(plugin, f"parts are {contribution.parts!r}, not a tuple of Part")


def chosen(found: Found, kind: str, launcher: str, brand: str) -> str:
    """The kind of cluster that is meant. Raises UsageError."""
    if kind:
        if kind not in found.kinds:
            meant = near(kind, found.kinds)
            there = f"there are {', '.join(sorted(found.kinds))}" if found.kinds else "none is installed"
            hint = f"; did you mean {meant[0]!r}?" if meant else ""
            raise UsageError(f"no cluster of kind {kind!r}: {there}{hint}")
        return kind
    if found.kinds:
        return next(iter(found.kinds))
    if found.broken:
        raise found.broken[0]
    adds = "'pip install hyperkube-cluster' adds that"
    if f"{brand}.servers" != GROUP:
        adds = f"that is an entry point of the group '{brand}.clusters'"
    raise UsageError(
        f"nothing that is installed says what a cluster is made of: {adds}, and '{launcher} plugins' lists the servers"
        " that are here"
    )


def plan(launcher: HyperKube, kind: str, contributions: Sequence[Contribution], wish: Wish) -> Plan:
    """Which servers run, with what they wait for. Raises UsageError, ServerNotFound, PluginError."""
    parts = [part for contribution in contributions for part in contribution.parts]
    parts += [Part(server=name) for name in wish.with_ if not any(_is(launcher, part, name) for part in parts)]
    _check_names(launcher, parts, wish)
    servers: list[tuple[Part, Server]] = []
    missing: list[Missing] = []
    for part in parts:
        if any(_is(launcher, part, name) for name in wish.without):
            if part.needed:
                raise UsageError(f"--without {part.server}: there is no cluster of kind {kind!r} without it")
            continue
        wanted = any(_is(launcher, part, name) for name in wish.with_)
        if part.optional and not wanted:
            continue
        try:
            server = launcher.server(part.server)
        except (ServerNotFound, PluginError) as exc:
            absent = Missing(part.server, part.distribution, str(exc) if isinstance(exc, PluginError) else "")
            if part.needed or wanted:
                raise _absent(kind, absent, exc) from exc
            missing.append(absent)
            continue
        if all(server.name != other.name for _, other in servers):
            servers.append((part, server))
    if not servers:
        raise UsageError(f"no server of a cluster of kind {kind!r} is left to run")
    extra = _settings(launcher, servers, wish.settings)
    placed = tuple(_placed(part, server, servers, extra.get(server.name, ())) for part, server in servers)
    _check_circles(placed)
    return Plan(kind, placed, tuple(missing), tuple(contributions))


def _absent(kind: str, absent: Missing, exc: HyperkubeError) -> HyperkubeError:
    if isinstance(exc, PluginError):
        return exc
    return UsageError(f"a cluster of kind {kind!r} needs the server {absent.server!r}: {absent.advice}")


def _is(launcher: HyperKube, part: Part, name: str) -> bool:
    if part.server == name:
        return True
    server = launcher.find_server(part.server)
    return server is not None and name in (server.name, *server.aliases)


def _check_names(launcher: HyperKube, parts: Sequence[Part], wish: Wish) -> None:
    for name in wish.without:
        if not any(_is(launcher, part, name) for part in parts):
            meant = near(name, [part.server for part in parts])
            hint = f"; did you mean {meant[0]!r}?" if meant else ""
            raise UsageError(f"--without {name}: no server of this cluster is called so{hint}")


def _settings(
    launcher: HyperKube, servers: Sequence[tuple[Part, Server]], settings: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The arguments that `--set SERVER.flag=value` come to, by server."""
    extra: dict[str, tuple[str, ...]] = {}
    for setting in settings:
        target, _, value = setting.partition("=")
        name, dot, flag = target.partition(".")
        if not dot or not flag or "=" not in setting:
            raise UsageError(f"--set {setting}: write SERVER.flag=value, such as apiserver.v=2")
        server = next((server for _, server in servers if name in (server.name, *server.aliases)), None)
        if server is None:
            there = ", ".join(server.name for _, server in servers)
            raise UsageError(f"--set {setting}: no server of this cluster is called {name!r}; there are {there}")
        extra[server.name] = (*extra.get(server.name, ()), f"--{flag}={value}")
    return extra


def _placed(part: Part, server: Server, servers: Sequence[tuple[Part, Server]], extra: tuple[str, ...]) -> Placed:
    names = {alias: other.name for _, other in servers for alias in (other.name, *other.aliases)}
    after = [names[name] for name in (*part.after, *server.after) if name in names]
    return Placed(server, tuple(dict.fromkeys(name for name in after if name != server.name)), extra)


def _check_circles(servers: Sequence[Placed]) -> None:
    left = {placed.server.name: set(placed.after) for placed in servers}
    while left:
        free = [name for name, after in left.items() if not after & left.keys()]
        if not free:
            raise UsageError(f"servers wait for each other: {', '.join(sorted(left))}")
        for name in free:
            del left[name]


def groundworks(contributions: Sequence[Contribution], home: ClusterHome) -> list[Groundwork]:
    """What prepares the cluster in `home`. Raises PluginError."""
    works = []
    for contribution in contributions:
        target = contribution.groundwork
        if target is None:
            continue
        make: Callable[[ClusterHome], Groundwork] = (
            import_from(target, contribution.kind) if isinstance(target, str) else target
        )
        try:
            works.append(make(home))
        except HyperkubeError:
            raise
        except Exception as exc:  # a plugin's code, which may raise anything
            raise PluginError(contribution.kind, f"cannot prepare a cluster ({type(exc).__name__}: {exc})") from exc
    return works


def groundworks_of(launcher: HyperKube, home: Home) -> list[Groundwork]:
    """Those of the cluster that runs or ran in `home`, which is told of its servers. Raises PluginError."""
    run = home.state.get("run") or {}
    home.servers = tuple(server["name"] for server in run.get("servers", ()))
    home.in_process = run.get("mode") == "in-process"
    return groundworks(find(launcher).kinds.get(run.get("kind", ""), ()), home)
