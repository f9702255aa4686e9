"""What hk learns of the proxy without importing it."""

from __future__ import annotations

from hyperkube_core import Coroutine, Server, hookimpl

LONG = """\
The network proxy that runs on each node: it makes the addresses of services lead to their pods, by rules in the \
kernel (nftables) or by relays in this process (userspace).
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
            after=("apiserver", "kubelet"),
            event_loop="hyperkube_machinery.serving.loop:new_event_loop",
            version="hyperkube_machinery.release:VERSION_LINE",
        )
    ]
