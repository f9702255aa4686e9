"""How the coming up of a cluster is shown: a table that lives on a terminal, a JSON object a line for programs.

Both are fed the same events, so that a cluster in the background is shown by whoever waits for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from hyperkube_core._logging import redacted

_STYLES = {"ready": "green", "completed": "green", "failed": "bold red", "backing off": "yellow", "starting": "cyan"}


class Shown(Protocol):
    """Takes events of a cluster, see `_topology`."""

    def take(self, event: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class JSONLines:
    """Each event as a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def take(self, event: Mapping[str, Any]) -> None:
        try:
            self._stream.write(redacted(json.dumps({"ts": round(time.time(), 3), **event})) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads any more; that is no reason to stop serving

    def close(self) -> None:
        pass


class LiveTable:
    """A table of the servers, drawn anew with each event, and what there is to say above and below it."""

    def __init__(self, name: str, stream: TextIO, *, hint: str = "") -> None:
        from rich.console import Console
        from rich.live import Live

        self._name = name
        self._hint = hint
        self._rows: dict[str, dict[str, Any]] = {}
        self._missing: list[tuple[str, str]] = []
        self._waiting = ""
        self._ready: Mapping[str, Any] | None = None
        self._phase = "starting"
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()
        self._console.show_cursor()  # which a second Ctrl-C would leave hidden

    def take(self, event: Mapping[str, Any]) -> None:
        kind = event.get("event")
        if kind == "server":
            row = self._rows.setdefault(event["name"], {})
            row |= event
            if event["state"] == "ready":
                row.setdefault("first", event["seconds"])
        elif kind == "missing":
            self._missing.append((event["server"], event["advice"]))
        elif kind == "waiting":
            self._waiting = event["for"]
        elif kind == "ready":
            self._ready, self._waiting, self._phase = event, "", "ready"
        elif kind in ("stopping", "stopped"):
            self._phase = self._phase if self._phase == "failed" else str(kind)
            self._waiting, self._ready = "", None
        elif kind == "failed":
            self._phase, self._waiting = "failed", ""
        elif kind == "warning":
            self._console.print(f"Warning: {event['message']}", markup=False)
        self._live.update(self._drawn(), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _drawn(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table("SERVER", "STATE", "READY AFTER", "RESTARTS", "ADDRESS", box=SIMPLE_HEAD, pad_edge=False)
        addresses = self._ready["addresses"] if self._ready else {}
        for name, row in self._rows.items():
            state = row["state"]
            table.add_row(
                Text(name),
                Text(state, style=_STYLES.get(state, "")),
                f"{row['first']:.2f} s" if "first" in row else "",
                str(row["restarts"] or ""),
                Text(addresses.get(name, "")),
            )
        for name, advice in self._missing:
            table.add_row(
                Text(name, style="dim"), Text("not installed", style="dim"), "", "", Text(advice, style="dim")
            )
        lines = []
        if self._ready is not None:
            lines.append(Text(f"cluster {self._name!r} is ready after {self._ready['seconds']:.2f} s", style="bold"))
            lines += [Text(note) for note in self._ready["notes"]]
            if self._hint:
                lines.append(Text(self._hint, style="dim"))
        elif self._waiting:
            lines.append(Text(f"waiting for {self._waiting}"))
        elif self._phase != "starting":
            lines.append(Text(f"cluster {self._name!r}: {self._phase}"))
        return Group(table, *lines)


def reason(failed: Mapping[str, Any]) -> str:
    """What the event of a failure says, for people: with the last lines that the server logged which failed."""
    if not failed:
        return ""
    lines = [str(failed["error"])]
    if failed.get("log"):
        lines += [f"the last lines of {failed['log_file']}:", *(f"  {line}" for line in failed["log"])]
    return "\n".join(lines)
