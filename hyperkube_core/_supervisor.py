"""Runs each server as a managed child process, whose output, signals, restarts and end are hk's business.

hk run --mode=process ──┬── lifeline, notify ──▶ hk apiserver …            (hk children watch their lifeline)
                        └── lifeline, notify ──▶ guard ──▶ etcd …          (others have a guard that does)
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hyperkube_core._clock import Clock, SystemClock
from hyperkube_core._lifeline import arm
from hyperkube_core._lines import Relay
from hyperkube_core._logging import current
from hyperkube_core._loop import run_until_complete
from hyperkube_core._order import labels
from hyperkube_core._placing import body_in_process
from hyperkube_core._runner import Run, conduct, together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyperkube_core._context import Host
    from hyperkube_core._restart import Restart
    from hyperkube_core._server import Invocation


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
