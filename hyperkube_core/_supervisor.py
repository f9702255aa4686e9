"""Runs each server as a managed child process, whose output, signals, restarts and end are hk's business.

hk run --mode=process ──┬── lifeline, notify ──▶ hk apiserver …            (hk children watch their lifeline)
                        └── lifeline, notify ──▶ guard ──▶ etcd …          (others have a guard that does)
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hyperkube_core._clock import Clock, SystemClock
from hyperkube_core._lifeline import arm
from hyperkube_core._lines import Lines, Relay
from hyperkube_core._logging import current
from hyperkube_core._loop import run_until_complete
from hyperkube_core._order import labels
from hyperkube_core._process import ChildBody, CommandBody
from hyperkube_core._runner import MakeBody, Run, body_here, conduct, together
from hyperkube_core._server import Command, Invocation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyperkube_core._bodies import Body
    from hyperkube_core._context import Host, RunningContext
    from hyperkube_core._restart import Restart


def body_in_process(relay: Lines, held: tuple[int, ...] = ()) -> MakeBody:
    """Makes bodies that are processes of their own, each of which holds the descriptors `held`."""

    def make_body(invocation: Invocation, label: str, context: RunningContext[Any]) -> Body:
        run = invocation.server.run
        if isinstance(run, Command):
            return CommandBody(run, invocation, label, context, relay, held)
        return ChildBody(invocation, label, context, relay, held)

    return make_body


def body_beside(*, here: Invocation) -> MakeBody:
    """Makes the bodies of a managed child: its server `here`, what that spawns in processes of their own."""
    elsewhere = body_in_process(Relay(current()))

    def make_body(invocation: Invocation, label: str, context: RunningContext[Any]) -> Body:
        if invocation is here:
            return body_here(invocation, label, context, alone=True)
        return elsewhere(invocation, label, context)

    return make_body


def supervise(
    invocations: Sequence[Invocation],
    *,
    host: Host,
    restart: Restart = "on-failure",
    clock: Clock | None = None,
    status_file: str = "",
) -> None:
    """Run servers as managed child processes until a signal asks them to stop or all have done their jobs.

    Raises the HyperkubeError that ended the run, as `run_servers` does: with restarts, that is one which a restart
    cannot heal.
    """
    relay = Relay(current())
    relay.align(labels(invocations))
    tether = arm()
    run_until_complete(
        asyncio.new_event_loop(),
        conduct(
            together(invocations),
            lambda: Run(
                host=host,
                clock=clock or SystemClock(),
                make_body=body_in_process(relay),
                restart=restart,
                when_ready=tether.ready if tether else lambda: None,
            ),
            tether=tether,
            forwards=True,
            status_file=status_file,
        ),
    )
