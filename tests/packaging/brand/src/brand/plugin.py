from __future__ import annotations

from collections.abc import Iterable

from hyperkube_core import Coroutine, DerivedServer, Server, hookimpl


@hookimpl
def hyperkube_servers() -> Iterable[Server | DerivedServer]:
    return (
        DerivedServer(
            base="apiserver",
            name="apiserver",
            long=(
                "The main API entrypoint and interface to the storage system. The API server is also the focal point"
                " for all authorization decisions."
            ),
            defaults={"bind_address": "127.0.0.1"},
        ),
        Server(
            name="minion",
            long="A server of km's own, which nobody else has.",
            run=Coroutine("brand.minion:serve"),
        ),
    )
