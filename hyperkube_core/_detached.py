"""`hk up --detach`: a cluster in the background, watched until it is ready.

The background is another `hk up`, in a session of its own, whose events come by a pipe. It is on its own once it has
told that it is ready; until then, whoever waits ends it again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hyperkube_core._errors import CommandEnded

if TYPE_CHECKING:
    from hyperkube_core._home import Home
    from hyperkube_core._shown import Shown

DETACHED = "HK_DETACHED"
"""The variable by which the background knows what it is."""


def detached(command: Sequence[str], home: Home, shown: Shown) -> None:
    """Start `command` in the background, and return once the cluster is ready.

    Raises CommandEnded, with the reason, for one that never was; nothing of it is left then.
    """
    environment = {**os.environ, DETACHED: "1"}
    log = os.open(home.logs / "hk.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    assert process.stdout is not None
    failed: Mapping[str, Any] | None = None
    try:
        for line in process.stdout:
            event = _event(line)
            if event is None:
                continue
            shown.take(event)
            if event.get("event") == "ready":
                process.returncode = 0  # it goes on without us, and is nobody's child then
                return
            if event.get("event") == "failed":
                failed = event
            if event.get("event") == "stopped":
                break
        status = process.wait()
    except KeyboardInterrupt:
        _end(process)
        raise CommandEnded(130, "interrupted: the cluster is stopped again") from None
    finally:
        shown.close()
        process.stdout.close()
    raise CommandEnded(status or 1, _told(failed, home))


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:  # what a plugin prints
        return None
    return event if isinstance(event, dict) else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, and wait for that; a second Ctrl-C insists."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _told(failed: Mapping[str, Any] | None, home: Home) -> str:
    if failed is None:
        return f"the cluster ended before it was ready; {home.logs / 'hk.log'} may say why"
    lines = [str(failed["error"])]
    if failed.get("log"):
        lines += [f"the last lines of {failed['log_file']}:", *(f"  {line}" for line in failed["log"])]
    return "\n".join(lines)
