"""What a server is: a light description, and the context that it runs in.

The life of a server, alone, beside others in one process, or under a supervisor:

    described ──start──▶ starting ──context.ready.set()──▶ ready ──cancel──▶ stopping ──▶ stopped
                            │                                │                  │
                            └── raises, returns, is late ────┴── raises, ───────┴── takes longer than
                                                                 returns            stop_seconds: abandoned

A description costs nothing to read: what it runs is named by an import string, `module:attribute`, and imported
when the server is started. A server serves until it is stopped; returning by itself is a failure, unless its
description says that it `completes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    import threading
    from collections.abc import Awaitable, Callable, Mapping

    from hyperkube_core._clock import Clock

PLUGIN_API = 1
"""The version of this contract. Additions are optional fields with defaults and leave it as it is."""

T = TypeVar("T")
OptionsT_co = TypeVar("OptionsT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Coroutine:
    """The server is `async def target(context)`; it is stopped by cancellation."""

    target: str | Callable[[Context[Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Blocking:
    """The server is `def target(context)` on a thread of its own; it is stopped by `context.stopping`.

    One that does not return within `stop_seconds` of that is abandoned and ends with the process.
    """

    target: str | Callable[[Context[Any]], None]


@dataclass(frozen=True, slots=True)
class Command:
    """The server is a program of its own: `argv` followed by the arguments, which it parses itself.

    It is stopped by SIGTERM, after `stop_seconds` by SIGKILL. It counts as ready once `ready_url` answers with a
    status below 400, or, where there is none, once it has started.
    """

    argv: tuple[str, ...]
    ready_url: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


Run: TypeAlias = Coroutine | Blocking | Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server as its plugin describes it, readable without importing it."""

    name: str
    run: Run
    summary: str = ""
    """One line, for lists."""
    long: str = ""
    """What `--help` says, unwrapped; a blank line begins a paragraph."""
    aliases: tuple[str, ...] = ()
    """Other names it answers to (`kube-apiserver`); each is an entry point as well."""
    options: str | type[Any] | None = None
    """A frozen dataclass whose fields are the flags, or where to import it from. See `flag`."""
    commands: str | None = None
    """Where to import a Typer application from whose commands become subcommands of the server's."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Option fields whose default is another than the dataclass's."""
    after: tuple[str, ...] = ()
    """Servers which, if they run too, are started first and ready before this one starts."""
    alpha: bool = False
    """Whether it is called as `hk alpha NAME`, with a warning."""
    completes: bool = False
    """Whether returning without an error is success, as for a tool that does a job and ends."""
    start_seconds: float = 60.0
    """How long it may take to become ready."""
    stop_seconds: float = 30.0
    """How long it may take to stop."""
    event_loop: str = ""
    """Where to import a function from that makes the event loop it runs fastest on; `""` is asyncio's."""
    version: str = ""
    """Where to import the text from that `--version` prints, for whoever reads it of the program that the server stands
    in for; `""` is its name and its distribution's version."""
    plugin_api: int = PLUGIN_API
    """The version of this contract that the description was written for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedServer:
    """An installed server under another brand: resolved when it is used, so that its plugin is imported late."""

    base: str
    """The name or alias of the server it is made from."""
    name: str
    summary: str | None = None
    long: str | None = None
    aliases: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Laid over the defaults of the base."""
    after: tuple[str, ...] | None = None
    alpha: bool = False
    group: str = "hyperkube.servers"
    """The entry-point group in which `base` is looked up."""
    plugin_api: int = PLUGIN_API


Description: TypeAlias = Server | DerivedServer


@dataclass(frozen=True, slots=True)
class Invocation:
    """A server that is about to run, with its command line parsed into `options` (None: it parses `args` itself)."""

    server: Server
    args: tuple[str, ...] = ()
    options: Any = None
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where the value of each option field is from: `default`, `file F`, `environment V`, `flag --F`."""


class Ready(Protocol):
    """Set by a server, from its loop or its thread, once requests to it would succeed."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...

    async def wait(self) -> None: ...


class Spawned(Protocol):
    """A server that another one started; it is stopped, at the latest, when that one stops."""

    @property
    def name(self) -> str: ...

    async def ready(self) -> None:
        """Return once it is ready, or raise the ServerError that kept it from it."""

    async def stop(self) -> None:
        """Stop it and return once it has stopped."""

    async def wait(self) -> None:
        """Return once it has stopped because it was asked to, or raise the ServerError it ended with."""


class Context(Protocol, Generic[OptionsT_co]):
    """What a running server is given; all it knows of where it runs."""

    @property
    def name(self) -> str:
        """The name it was started under."""

    @property
    def options(self) -> OptionsT_co:
        """Its options, parsed; None for a server that declares none."""

    @property
    def args(self) -> tuple[str, ...]:
        """Its command line as it was given, for a server that declares no options."""

    @property
    def clock(self) -> Clock: ...

    @property
    def ready(self) -> Ready: ...

    @property
    def stopping(self) -> threading.Event:
        """Set when a blocking server is asked to stop."""

    def find_server(self, name: str) -> Server | None:
        """The installed server of that name or alias, or None."""

    async def spawn(self, name: str, args: tuple[str, ...] = ()) -> Spawned:
        """Start another installed server beside this one, in the way this one runs.

        Raises ServerNotFound, UsageError for bad `args`, PluginError.
        """

    def provide(self, kind: type[T], value: T) -> None:
        """Hand `value` to the servers in this process that start after this one."""

    def require(self, kind: type[T]) -> T:
        """What a server in this process provided under `kind`; raises NotProvided."""
