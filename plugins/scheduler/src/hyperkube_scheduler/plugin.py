"""What hk learns of the scheduler without importing it."""

from __future__ import annotations

from hyperkube_core import Coroutine, Server, hookimpl

LONG = """\
Decides on which node each pod runs.
"""


@hookimpl
def hyperkube_servers() -> list[Server]:
    """The servers that this plugin offers."""
    return [
        Server(
            name="scheduler",
            aliases=("kube-scheduler",),
            summary="Decides on which node each pod runs.",
            long=LONG,
            run=Coroutine("hyperkube_scheduler.server:serve"),
            options="hyperkube_scheduler.options:Options",
            after=("apiserver",),
            event_loop="hyperkube_machinery.serving.loop:new_event_loop",
            version="hyperkube_machinery.release:VERSION_LINE",
        )
    ]
