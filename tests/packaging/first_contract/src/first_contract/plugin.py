"""Describes the servers; imports none of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from hyperkube_core import Blocking, Command, Coroutine, Description, Server, derive, hookimpl


@hookimpl
def hyperkube_servers() -> Iterable[Description]:
    return (
        Server(
            name="first-coroutine",
            aliases=("kube-first",),
            summary="a coroutine with options",
            long="Greets, offers its greeting to the servers beside it, and waits until it is stopped.",
            run=Coroutine("first_contract.servers:serve"),
            options="first_contract.options:Options",
            plugin_api=1,
        ),
        Server(
            name="first-blocking",
            summary="a function on a thread",
            run=Blocking("first_contract.servers:block"),
            after=("first-coroutine",),
            plugin_api=1,
        ),
        Server(
            name="first-command",
            summary="a program of its own",
            run=Command((sys.executable, "-u", "-m", "first_contract.program")),
            plugin_api=1,
        ),
        Server(
            name="first-tool",
            summary="does a job and ends",
            run=Coroutine("first_contract.servers:work"),
            options="first_contract.options:Options",
            completes=True,
            plugin_api=1,
        ),
        derive(
            "first-coroutine",
            name="first-derived",
            summary="the coroutine with another greeting",
            defaults={"greeting": "Salut"},
        ),
    )
