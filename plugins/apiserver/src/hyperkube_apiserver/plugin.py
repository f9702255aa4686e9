"""What hk learns of the API server without importing it."""

from __future__ import annotations

from hyperkube_core import Coroutine, Server, hookimpl

LONG = """\
The main API entrypoint and interface to the storage system. The API server is also the focal point for all \
authorization decisions.
"""


@hookimpl
def hyperkube_servers() -> list[Server]:
    """The servers that this plugin offers."""
    return [
        Server(
            name="apiserver",
            aliases=("kube-apiserver",),
            summary="The main API entrypoint and interface to the storage system.",
            long=LONG,
            run=Coroutine("hyperkube_apiserver.server:serve"),
            options="hyperkube_apiserver.options:Options",
            commands="hyperkube_apiserver.cli:app",
            stop_seconds=300.0,  # what the flags of shutdown can come to, and some; a second signal needs no patience
            event_loop="hyperkube_machinery.serving.loop:new_event_loop",
            version="hyperkube_machinery.release:VERSION_LINE",
        )
    ]
