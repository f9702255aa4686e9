"""Describes the server; imports nothing of it."""

from __future__ import annotations

from collections.abc import Iterable

from hyperkube_core import Coroutine, Description, Server, hookimpl


@hookimpl
def hyperkube_servers() -> Iterable[Description]:
    return [
        Server(
            name="mirror",
            summary="copies config maps to the namespaces that they name",
            run=Coroutine("mirror.server:serve"),
            options="mirror.options:Options",
            after=("apiserver",),
        )
    ]
