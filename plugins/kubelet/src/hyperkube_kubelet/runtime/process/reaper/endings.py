"""How containers end, in the words of their records."""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ending", "lost", "never_started"]


def ending(status: int, failure: dict[str, Any] | None, *, out_of_memory: bool) -> dict[str, Any]:
    """What a container's end came to: `status` is waitpid's, `failure` why its program could not be started."""
    if failure is not None:
        told = {"reason": "StartError", "message": failure["message"], "exit_code": failure["code"], "started_at": 0.0}
    elif os.WIFSIGNALED(status):
        told = {"reason": "Error", "signal": os.WTERMSIG(status), "exit_code": 128 + os.WTERMSIG(status)}
    else:
        code = os.WEXITSTATUS(status)
        told = {"reason": "Error" if code else "Completed", "exit_code": code}
    if out_of_memory:
        told["reason"] = "OOMKilled"
    return {"state": "exited", "finished_at": time.time(), **told}


def lost() -> dict[str, Any]:
    """How a container ended that ran when the reaper was killed: with it."""
    return {
        "state": "exited",
        "finished_at": time.time(),
        "exit_code": 128 + signal.SIGKILL,
        "signal": int(signal.SIGKILL),
        "reason": "Error",
        "message": "The process that pods of this node belong to was killed, and this container with it.",
    }


def never_started() -> dict[str, Any]:
    """How a container ended that was stopped before it was started."""
    return {"state": "exited", "finished_at": time.time(), "exit_code": 128 + signal.SIGKILL, "reason": "Error"}
