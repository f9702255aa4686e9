"""How the servers of a run fared, and the exit status that tells which one failed and why.

A run of several servers that fails ends with 10 * position + why, where the position is the server's on the command
line, from 1 on, and why is:

    1   something else          5   it returned                 7   it ignored the request to stop
    2   flags or settings       6   it was not ready in time    9   a signal ended its process
    3   its plugin              4   it crashed

So 24 says that the second server crashed. Behind the eleventh there is no room below 126, which shells use, and the
status is the plain one of the error; the last line of the log names the server in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hyperkube_core._errors import (
    HyperkubeError,
    Interrupted,
    ServerKilled,
    ServerNotReady,
    ServerReturned,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

State = Literal["waiting", "starting", "ready", "backing off", "stopped", "completed", "failed"]


@dataclass(slots=True)
class Status:
    """What is known about one server of a run."""

    name: str
    state: State = "waiting"
    restarts: int = 0
    error: HyperkubeError | None = None
    """What it ended with, last."""
    pid: int | None = None
    """The process that it runs in, once it is ready."""


def why(error: HyperkubeError) -> int:
    """The last digit of the exit status."""
    if isinstance(error, Interrupted):
        return 7
    if isinstance(error, ServerReturned):
        return 5
    if isinstance(error, ServerNotReady):
        return 6
    if isinstance(error, ServerKilled):
        return 9
    return error.exit_code if error.exit_code in (2, 3, 4) else 1


def exit_status(position: int, error: HyperkubeError) -> int:
    """The exit status of a run of several servers in which the one at `position`, from 1 on, failed."""
    return 10 * position + why(error) if position <= 11 else error.exit_code


def server_document(status: Status) -> dict[str, Any]:
    """One status, for programs."""
    return {
        "name": status.name,
        "state": status.state,
        "restarts": status.restarts,
        "error": None if status.error is None else str(status.error),
        "reason": None if status.error is None else type(status.error).__name__,
    }


def as_json(statuses: Sequence[Status], exit_code: int) -> str:
    """The statuses as a document, for `--status-file`."""
    import json

    servers = [server_document(status) for status in statuses]
    return json.dumps({"servers": servers, "exit_status": exit_code}, indent=2) + "\n"
