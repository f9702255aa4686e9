"""What hk learns of the controller manager without importing it."""

from __future__ import annotations

from hyperkube_core import Coroutine, Server, hookimpl

LONG = """\
Runs the controllers that bring the cluster's state to what is declared.
"""


@hookimpl
def hyperkube_servers() -> list[Server]:
    """The servers that this plugin offers."""
    return [
        Server(
            name="controller-manager",
            aliases=("kube-controller-manager",),
            summary="Runs the controllers that bring the cluster's state to what is declared.",
            long=LONG,
            run=Coroutine("hyperkube_controller_manager.server:serve"),
            options="hyperkube_controller_manager.options:Options",
            after=("apiserver",),
            event_loop="hyperkube_machinery.serving.loop:new_event_loop",
            version="hyperkube_machinery.release:VERSION_LINE",
        )
    ]
