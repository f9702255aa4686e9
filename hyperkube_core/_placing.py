"""Where a server runs: in this process, or in one of its own; either is a `Body`, which a run asks for one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hyperkube_core._bodies import Body, CoroutineBody, ThreadBody
from hyperkube_core._context import RunningContext
from hyperkube_core._server import Blocking, Command, Coroutine, Invocation

if TYPE_CHECKING:
    from hyperkube_core._lines import Lines

MakeBody = Callable[[Invocation, str, RunningContext[Any]], Body]


def body_here(invocation: Invocation, label: str, context: RunningContext[Any], *, alone: bool = False) -> Body:
    """The body of a server in this process; a command writes where hk writes if it is alone, told apart if not."""
    run = invocation.server.run
    if isinstance(run, Coroutine):
        return CoroutineBody(run.target, context)
    if isinstance(run, Blocking):
        return ThreadBody(run.target, context)
    from hyperkube_core._lines import Relay
    from hyperkube_core._logging import current
    from hyperkube_core._process import CommandBody

    return CommandBody(run, invocation, label, context, None if alone else Relay(current()))


def body_in_process(relay: Lines, held: tuple[int, ...] = ()) -> MakeBody:
    """Makes bodies that are processes of their own, each of which holds the descriptors `held`."""

    def make_body(invocation: Invocation, label: str, context: RunningContext[Any]) -> Body:
        from hyperkube_core._process import ChildBody, CommandBody

        run = invocation.server.run
        if isinstance(run, Command):
            return CommandBody(run, invocation, label, context, relay, held)
        return ChildBody(invocation, label, context, relay, held)

    return make_body


def body_beside(*, here: Invocation) -> MakeBody:
    """Makes the bodies of a managed child: its server `here`, what that spawns in processes of their own."""
    from hyperkube_core._lines import Relay
    from hyperkube_core._logging import current

    elsewhere = body_in_process(Relay(current()))

    def make_body(invocation: Invocation, label: str, context: RunningContext[Any]) -> Body:
        if invocation is here:
            return body_here(invocation, label, context, alone=True)
        return elsewhere(invocation, label, context)

    return make_body
