"""Describes the server; imports nothing of it."""

from __future__ import annotations

from collections.abc import Iterable

from hyperkube_core import Blocking, Description, Server, hookimpl


@hookimpl
def hyperkube_servers() -> Iterable[Description]:
    return [
        Server(
            name="fileshare",
            summary="shows a folder over HTTP",
            run=Blocking("fileshare.server:serve"),
            options="fileshare.options:Options",
        )
    ]
