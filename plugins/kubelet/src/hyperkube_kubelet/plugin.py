"""What hk learns of the kubelet without importing it."""

from __future__ import annotations

from hyperkube_core import Coroutine, Server, hookimpl

LONG = """\
Runs the pods of one node.
"""


@hookimpl
def hyperkube_servers() -> list[Server]:
    """The servers that this plugin offers."""
    return [
        Server(
            name="kubelet",
            summary="Runs the pods of one node.",
            long=LONG,
            run=Coroutine("hyperkube_kubelet.server:serve"),
            options="hyperkube_kubelet.options:Options",
            after=("apiserver",),
            event_loop="hyperkube_machinery.serving.loop:new_event_loop",
            version="hyperkube_machinery.release:VERSION_LINE",
        )
    ]
