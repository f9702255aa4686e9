"""`hk status`: how a cluster fares, and where its servers and what they serve are reached."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from hyperkube_core._cluster import Report
from hyperkube_core._clusters import groundworks_of
from hyperkube_core._commands.plugins import Output
from hyperkube_core._commands.up import DataDir, Name
from hyperkube_core._errors import CommandEnded
from hyperkube_core._home import Home, cluster_home
from hyperkube_core._lazy import SETTINGS, new_app
from hyperkube_core._table import table
from hyperkube_core._topology import gathered

if TYPE_CHECKING:
    from hyperkube_core._flags import Parsed
    from hyperkube_core._launcher import HyperKube


def command(launcher: HyperKube, before: Parsed) -> Any:
    """The command; nothing that stands before its name matters to it."""
    app = new_app()

    @app.command("status", context_settings=SETTINGS)
    def status(
        name: Name = None,
        data_dir: DataDir = None,
        output: Annotated[Output, typer.Option("--output", "-o", help="How to write it.")] = Output.TABLE,
    ) -> None:
        """Tell how a cluster and its servers fare, and where they are reached; ends with 1 unless it is ready."""
        home = cluster_home(name, data_dir, launcher.environment)
        document = examine(launcher, home)
        if output is Output.JSON:
            launcher.print(json.dumps(document, indent=2) + "\n")
        else:
            launcher.print(_text(document, launcher))
        if document["state"] != "ready":
            raise CommandEnded(1)

    return get_command(app)


def examine(launcher: HyperKube, home: Home) -> dict[str, Any]:
    """The status of the cluster in `home`, as `--output json` has it."""
    document: dict[str, Any] = {"name": home.name, "data_dir": str(home.folder)}
    if not home.exists():
        return {**document, "state": "absent", "servers": [], "sections": {}}
    run: Mapping[str, Any] = home.state.get("run") or {}
    runs = home.runner() is not None
    phase = run.get("phase", "stopped")
    state = phase if runs else "stopped" if phase in ("stopped", "failed") else "lost"
    report = asyncio.run(gathered(groundworks_of(launcher, home), home.clock)) if runs else Report()
    servers = [
        {
            **{key: value for key, value in server.items() if key != "began"},
            "state": server["state"] if runs else "stopped",
            "address": report.addresses.get(server["name"]),
        }
        for server in run.get("servers", ())
    ]
    since = run.get("since")
    return {
        **document,
        "state": state,
        "kind": run.get("kind"),
        "mode": run.get("mode"),
        "pid": run.get("pid") if runs else None,
        "since": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds") if runs and since else None,
        "servers": servers,
        "missing": run.get("missing", []),
        "sections": {title: list(rows) for title, rows in report.sections.items()},
        "notes": list(report.notes),
    }


_TOLD = {
    "absent": "there is none",
    "stopped": "it is stopped",
    "lost": "it has ended without being stopped",
}


def _text(document: Mapping[str, Any], launcher: HyperKube) -> str:
    stream = launcher.output or sys.stdout
    name, state, folder = document["name"], document["state"], document["data_dir"]
    if state in _TOLD:
        return f"cluster {name!r}: {_TOLD[state]} in {folder}; '{launcher.name} up' starts it\n"
    head = f"cluster {name!r}: {state} in {folder}, {document['mode']}, process {document['pid']}\n\n"
    rows = [
        (
            server["name"],
            server["state"],
            str(server["restarts"]),
            str(server["pid"] or ""),
            server["address"] or "",
            server["error"] or "",
        )
        for server in document["servers"]
    ]
    rows += [(item["server"], "not installed", "", "", "", item["advice"]) for item in document["missing"]]
    parts = [head + table(("SERVER", "STATE", "RESTARTS", "PROCESS", "ADDRESS", "REMARK"), rows, stream)]
    parts += [_section(rows, stream) for rows in document["sections"].values() if rows]
    if document["notes"]:
        parts.append("".join(f"{note}\n" for note in document["notes"]))
    return "\n".join(parts)


def _section(rows: Sequence[Mapping[str, Any]], stream: Any) -> str:
    titles = list(rows[0])
    return table(
        [title.upper() for title in titles], [[_cell(row.get(title)) for title in titles] for row in rows], stream
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
