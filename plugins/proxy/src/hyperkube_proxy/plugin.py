"""What hk learns of the proxy without importing it."""

from __future__ import annotations

from hyperkube_core import Coroutine, Server, hookimpl

LONG = """\
Makes the addresses of services lead to their pods.
"""


@hookimpl
def hyperkube_servers() -> list[Server]:
    """The servers that this plugin offers."""
    return [
        Server(
            name="proxy",
            aliases=("kube-proxy",),
            summary="Makes the addresses of services lead to their pods.",
            long=LONG,
            run=Coroutine("hyperkube_proxy.server:serve"),
            options="hyperkube_proxy.options:Options",
            after=("apiserver",),
            event_loop="hyperkube_machinery.serving.loop:new_event_loop",
        )
    ]
