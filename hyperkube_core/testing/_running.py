"""A server inside a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hyperkube_core._clock import SystemClock
from hyperkube_core._errors import ServerNotFound, UsageError
from hyperkube_core._member import Member
from hyperkube_core._registry import apply, import_from
from hyperkube_core._runner import Run
from hyperkube_core._server import DerivedServer, Description, Invocation, Server

if TYPE_CHECKING:
    from hyperkube_core._clock import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LocalHost:
    """A `Host` that offers the descriptions it was given, and nothing that is installed."""

    descriptions: tuple[Description, ...] = ()
    name: str = "hk"
    program: tuple[str, ...] = ()

    def find_server(self, name: str) -> Server | None:
        for description in self.descriptions:
            if name == description.name or name in description.aliases:
                return self.resolve(description)
        return None

    def parse(self, name: str, args: Sequence[str]) -> Invocation:
        """The server with the options that its description gives it by default; it gets `args` unparsed."""
        server = self.find_server(name)
        if server is None:
            raise ServerNotFound(name)
        return Invocation(server, tuple(args), options_for(server, None))

    def resolve(self, description: Description) -> Server:
        """The server that a description stands for; the base of a derived one is among the descriptions."""
        if isinstance(description, Server):
            return description
        base = self.find_server(description.base)
        if base is None:
            raise ServerNotFound(description.base)
        return apply(description, base)


def options_for(server: Server, given: object) -> Any:
    """The options of a server: those given, or the fields given as a mapping over the description's defaults."""
    if given is not None and not isinstance(given, Mapping):
        return given
    if server.options is None:
        if given:
            raise UsageError(f"server {server.name!r} declares no options, but was given {', '.join(given)}")
        return None
    cls = import_from(server.options, server.name) if isinstance(server.options, str) else server.options
    return cls(**{**server.defaults, **(given or {})})


class RunningServer:
    """A server that a test runs, and that is ready."""

    def __init__(self, run: Run, member: Member) -> None:
        self._run = run
        self._member = member

    @property
    def name(self) -> str:
        return self._member.name

    def require(self, kind: type[T]) -> T:
        """What the server provided, as another server in its process would get it."""
        return self._run.provisions.require("the test", kind)

    async def stop(self) -> None:
        """Stop it before the block ends, and raise the error that it stops with."""
        await self._member.stop()
        if self._member.failure is not None:
            raise self._member.failure

    async def wait(self) -> None:
        """Return once it has stopped; raises the HyperkubeError that it ended with."""
        await self._member.wait()


@asynccontextmanager
async def running(
    server: Description,
    *,
    options: object = None,
    args: Sequence[str] = (),
    clock: Clock | None = None,
    beside: Sequence[Description] = (),
    provided: Mapping[type[Any], Any] | None = None,
) -> AsyncIterator[RunningServer]:
    """Run a server for the length of the block, which is entered once it is ready.

    `options` is an instance of its options, or a mapping of the fields that differ from the defaults. `beside` is
    what it can find and spawn, `provided` what it can require. A server that ends inside the block ends the block:
    what awaits there is cancelled, and the server's error is raised from it. Raises ServerError, Interrupted.
    """
    host = LocalHost((server, *beside) if isinstance(server, Server | DerivedServer) else tuple(beside))
    resolved = host.resolve(server)
    run = Run(host=host, clock=clock or SystemClock(), verbosity=1)
    for kind, value in (provided or {}).items():
        run.provisions.provide("the test", kind, value)
    invocation = Invocation(resolved, tuple(args), options_for(resolved, options))
    member = Member(run, invocation, run.label(resolved.name), restart="never")
    block = asyncio.current_task()
    assert block is not None
    cancelled = leaving = False

    def ended(_: asyncio.Task[None]) -> None:
        nonlocal cancelled
        if member.failure is not None and not leaving and not member.stopping:
            cancelled = True
            block.cancel(str(member.failure))

    handle = RunningServer(run, member)
    try:
        await member.ready()
        if member.task.done():
            ended(member.task)
        else:
            member.task.add_done_callback(ended)
        yield handle
    except asyncio.CancelledError:
        if not cancelled or block.uncancel() > 0:
            raise
    finally:
        leaving = True
        await member.stop()
    if member.failure is not None:
        raise member.failure
