"""`hk plugins`: what is installed, and what of it is broken and why."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from hyperkube_core._lazy import SETTINGS, new_app
from hyperkube_core._table import table

if TYPE_CHECKING:
    from hyperkube_core._flags import Parsed
    from hyperkube_core._launcher import HyperKube
    from hyperkube_core._registry import Listed


class Output(StrEnum):
    """How a list is written."""

    TABLE = "table"
    JSON = "json"


def command(launcher: HyperKube, before: Parsed) -> Any:
    """The command; nothing that stands before its name matters to it."""
    app = new_app()

    @app.command("plugins", context_settings=SETTINGS)
    def plugins(
        output: Annotated[Output, typer.Option("--output", "-o", help="How to write the list.")] = Output.TABLE,
    ) -> None:
        """List the servers that are installed, with their distributions, and what is broken and why."""
        listed = list(launcher.servers())
        if output is Output.JSON:
            launcher.print(json.dumps({"plugins": [describe(item) for item in listed]}, indent=2) + "\n")
            return
        rows = [_row(item) for item in listed]
        titles = ("DISTRIBUTION", "VERSION", "SERVER", "OTHER NAMES", "STATE", "REASON")
        launcher.print(table(titles, rows, launcher.output or sys.stdout))

    return get_command(app)


def describe(item: Listed) -> dict[str, Any]:
    """A server as `--output json` has it."""
    record, server = item.record, item.server
    return {
        "distribution": record.distribution if record else None,
        "version": record.version if record else None,
        "location": record.location if record else None,
        "server": item.name,
        "aliases": list(server.aliases) if server else [],
        "summary": server.summary if server else "",
        "alpha": bool(server and server.alpha),
        "state": "ok" if item.error is None else "broken",
        "reason": str(item.error) if item.error else None,
        "error": type(item.error).__name__ if item.error else None,
    }


def _row(item: Listed) -> tuple[str, ...]:
    record = item.record
    return (
        record.distribution if record else "(added in code)",
        record.version if record else "",
        item.name,
        ", ".join(item.server.aliases) if item.server else "",
        "ok" if item.error is None else "broken",
        str(item.error) if item.error else "",
    )
