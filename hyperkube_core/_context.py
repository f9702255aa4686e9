"""What a running server is given: the concrete `Context`, and the parts that it is made of."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from hyperkube_core._errors import NotProvided

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyperkube_core._clock import Clock
    from hyperkube_core._server import Invocation, Server, Spawned

T = TypeVar("T")
OptionsT_co = TypeVar("OptionsT_co", covariant=True)


class Host(Protocol):
    """What the running half asks of whoever started it: the launcher, or a test."""

    @property
    def name(self) -> str:
        """The launcher's name, for messages."""

    @property
    def program(self) -> tuple[str, ...]:
        """The command line that starts this launcher again, without arguments."""

    def find_server(self, name: str) -> Server | None:
        """The server of that name or alias, or None where nobody offers a usable one."""

    def parse(self, name: str, args: Sequence[str]) -> Invocation:
        """Parse a server's command line; raises ServerNotFound, UsageError, SettingsError, PluginError."""


class Gate:
    """An event of one event loop that is opened from anywhere: another thread, or a signal handler.

    It takes no lock, since a handler may interrupt the very code that holds one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._open = False
        self._event = asyncio.Event()

    def set(self) -> None:
        self._open = True
        with suppress(RuntimeError):  # the loop has ended, and with it everyone who waited
            self._loop.call_soon_threadsafe(self._event.set)

    def is_set(self) -> bool:
        return self._open

    async def wait(self) -> None:
        if not self._open:
            await self._event.wait()


class Provisions:
    """What the servers of one process provide to each other, under the type that they agreed on."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, type[Any], Any]] = []

    def provide(self, provider: str, kind: type[T], value: T) -> None:
        """Offer `value`; the latest one offered is the one that `require` finds."""
        self._entries.append((provider, kind, value))

    def require(self, requirer: str, kind: type[T]) -> T:
        for _, offered, value in reversed(self._entries):
            if offered is kind:
                found: T = value
                return found
        raise NotProvided(requirer, f"it requires {kind.__qualname__}, which no server in this process provides")

    def withdraw(self, provider: str) -> None:
        """Forget what a server provided: it has stopped."""
        self._entries = [entry for entry in self._entries if entry[0] != provider]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningContext(Generic[OptionsT_co]):
    """The `Context` of one run of one server."""

    name: str
    options: OptionsT_co
    args: tuple[str, ...]
    clock: Clock
    ready: Gate
    host: Host
    provisions: Provisions
    start_beside: Callable[[str, tuple[str, ...]], Awaitable[Spawned]]
    stopping: threading.Event = field(default_factory=threading.Event)

    def find_server(self, name: str) -> Server | None:
        return self.host.find_server(name)

    async def spawn(self, name: str, args: tuple[str, ...] = ()) -> Spawned:
        return await self.start_beside(name, args)

    def provide(self, kind: type[T], value: T) -> None:
        self.provisions.provide(self.name, kind, value)

    def require(self, kind: type[T]) -> T:
        return self.provisions.require(self.name, kind)
