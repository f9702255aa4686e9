"""What a plugin contributes to a cluster: which servers it is made of, and what they need to find each other.

`hk up` starts, watches and stops servers, and knows nothing of what they are. Everything else is contributed:

    Contribution    a light value, readable without importing anything: the kind of cluster, its servers, and …
    Groundwork      … where to import what prepares them, tells when they are a cluster, and tidies up behind them

All contributions of one kind are one cluster: whoever adds a server to somebody else's kind contributes a part, and
may have more to say about the arguments of the servers that are there.

    hk up     arguments ▶ start ▶ ready ▶ started   server by server   ▶ until_ready ▶ … ▶ stop ▶ clean_up
    hk down   the same stop, or where nobody is left to do it: clean_up
    hk status report
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hyperkube_core._server import PLUGIN_API

if TYPE_CHECKING:
    from pathlib import Path

    from hyperkube_core._clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A server's place in a cluster."""

    server: str
    """Its name, or another name it answers to."""
    distribution: str = ""
    """What to install where nobody offers the server."""
    after: tuple[str, ...] = ()
    """Parts which, if they run too, are ready before this one is given its arguments, besides what the server itself
    says that it starts after."""
    needed: bool = False
    """Whether there is no cluster without it. A part that is not needed may be missing, and is told of."""
    optional: bool = False
    """Whether it runs only where `--with` asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What a plugin adds to a kind of cluster."""

    kind: str
    """The kind of cluster that it is for."""
    parts: tuple[Part, ...] = ()
    """The servers that it adds; those of one level start in this order."""
    groundwork: str | Callable[[ClusterHome], Groundwork] | None = None
    """Where to import the class or function from that makes the `Groundwork` of a cluster."""
    summary: str = ""
    """One line, for lists."""
    plugin_api: int = PLUGIN_API
    """The version of this contract that the contribution was written for."""


class ClusterHome(Protocol):
    """Where one cluster lives: what core knows of it, and offers to those who prepare it."""

    @property
    def name(self) -> str:
        """The cluster's name."""

    @property
    def folder(self) -> Path:
        """Its data directory, which nobody else can read. Core's own are `logs`, `lock` and `state.json` in it."""

    @property
    def servers(self) -> Sequence[str]:
        """The names of the servers that it is made of, in the order they start."""

    @property
    def in_process(self) -> bool:
        """Whether they all run in one process."""

    @property
    def clock(self) -> Clock: ...

    def port(self, use: str, preferred: int = 0) -> int:
        """A port of loopback, the same one whenever this cluster is asked for the same `use`.

        The first time that is `preferred` where it is free. One that somebody else listens on by now is given up for
        another.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What there is to say about a cluster."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    """Where each server is reached, by its name."""
    sections: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Tables by title, each row with the same keys: text, numbers and truth values."""
    notes: Sequence[str] = ()
    """Lines for people: what to type next."""


class Groundwork:
    """What makes servers a cluster. A subclass says what it has to say; the rest does nothing.

    It is made anew by every command that needs one, so what it must remember is in files of `home.folder`.
    """

    def __init__(self, home: ClusterHome) -> None:
        self.home = home

    async def arguments(self, server: str) -> Sequence[str]:
        """The flags of `server`, which is about to start: what it starts after is ready. Secrets belong into files.

        Those of all contributions are joined, and those of `hk up --set` come last. A server that is started again
        gets the same ones.
        """
        return ()

    async def started(self, server: str) -> None:
        """Do what `server` is needed for, now that it is ready for the first time; what starts after it waits."""

    async def until_ready(self, tell: Callable[[str], None]) -> None:
        """Return once the cluster is ready, all its servers being so; `tell` what is waited for."""

    async def report(self) -> Report:
        """What there is to say about the cluster, in short time and whatever state its servers are in."""
        return Report()

    async def clean_up(self) -> None:
        """End what servers left behind on purpose, now that none of them runs: processes, mounts, sockets.

        Called at the end of `hk up`, and by `hk down` again, whatever ended the cluster. Must stand being repeated.
        """
