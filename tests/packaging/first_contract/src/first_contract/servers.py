"""The servers; they say what they see on the standard output."""

from __future__ import annotations

import asyncio
from typing import Protocol

from hyperkube_core import Context, NotProvided

from first_contract.options import Options


class Greeter(Protocol):
    """What the coroutine hands the servers beside it."""

    def greet(self) -> str: ...


class _Greeter:
    def __init__(self, options: Options) -> None:
        self._options = options

    def greet(self) -> str:
        please = ", please" if self._options.polite else ""
        return " ".join([self._options.greeting] * self._options.repeat + [*self._options.names]) + please


def say(*words: object) -> None:
    print(*words, flush=True)


async def serve(context: Context[Options]) -> None:
    greeter = _Greeter(context.options)
    context.provide(Greeter, greeter)
    neighbour = context.find_server("first-blocking")
    await context.clock.sleep(0)
    say(f"{context.name}: {greeter.greet()}; {neighbour and neighbour.summary}; {context.options.patience} s")
    context.ready.set()
    say(f"{context.name}: ready")
    try:
        await asyncio.Event().wait()
    finally:
        say(f"{context.name}: stopped")


def block(context: Context[None]) -> None:
    try:
        heard = context.require(Greeter).greet()
    except NotProvided as exc:
        heard = f"nobody ({exc.exit_code})"
    say(f"{context.name}: {list(context.args)}; heard {heard}")
    context.ready.set()
    say(f"{context.name}: ready")
    context.stopping.wait()
    say(f"{context.name}: stopped")


async def work(context: Context[Options]) -> None:
    spawned = await context.spawn("first-coroutine", ("--greeting=Hi",))
    await spawned.ready()
    await spawned.stop()
    say(f"{context.name}: {spawned.name} came and went")
