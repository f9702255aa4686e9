"""What hk learns of etcd without importing it."""

from __future__ import annotations

from hyperkube_core import Coroutine, Server, hookimpl

LONG = """\
A key-value store for the most critical data, spoken to as etcd is: hk's own store, in one file, behind etcd's \
interface. One member, no cluster.
"""


@hookimpl
def hyperkube_servers() -> list[Server]:
    """The servers that this plugin offers."""
    return [
        Server(
            name="etcd",
            summary="A key-value store that is spoken to as etcd is.",
            long=LONG,
            run=Coroutine("hyperkube_etcd.server:serve"),
            options="hyperkube_etcd.options:Options",
            commands="hyperkube_etcd.cli:app",
            event_loop="hyperkube_machinery.serving.loop:new_event_loop",
            version="hyperkube_etcd.release:VERSION_LINE",
        )
    ]
