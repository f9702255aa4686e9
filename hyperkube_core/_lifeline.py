r"""The lines between hk and its child processes: one by which a child tells of itself, one by which it lives.

The lifeline is a pipe whose only writing end is the parent's, and nobody writes to it. When the parent is gone, by
kill -9 too, the kernel closes that end and the child reads the end of file. (A process-death signal would follow the
thread that forked; a subreaper dies with hk.) On the notify pipe a child sends lines:

    STARTED=1                     its command line was read, its plugin was found, and its server starts
    READY=1                       its server is ready
    ERROR=ServerCrashed:it …      what its server ended with: the class and the message, line breaks as \n

Behind the lifeline's number others may stand (`5:9`), of descriptors that the child only holds: a lock that whoever
comes next can't have while it lives.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LIFELINE = "HK_LIFELINE_FD"
NOTIFY = "HK_NOTIFY_FD"

GRACE_SECONDS = 5.0
"""How long a child may take to stop in good order once its parent is gone."""


def spelled(lifeline: int, held: tuple[int, ...]) -> str:
    """How a child is told of its lifeline, and of what else it is to hold."""
    return ":".join(map(str, (lifeline, *held)))


class Tether:
    """A child's side of both lines."""

    def __init__(self, lifeline: int, notify: int, held: tuple[int, ...] = ()) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._ask: Callable[[], None] | None = None
        self._lost = False
        for descriptor in (lifeline, notify, *held):
            if descriptor >= 0:
                os.set_inheritable(descriptor, False)
        threading.Thread(target=self._watch, args=(lifeline,), name="lifeline", daemon=True).start()

    def when_lost(self, ask: Callable[[], None]) -> None:
        """Have `ask` called, on a thread, when the parent is gone; at once if it is gone already."""
        with self._lock:
            self._ask = ask
            lost = self._lost
        if lost:
            ask()

    def started(self) -> None:
        self._tell("STARTED=1")

    def ready(self) -> None:
        self._tell("READY=1")

    def failed(self, error: BaseException) -> None:
        message = str(error).replace("\\", "\\\\").replace("\n", "\\n")
        self._tell(f"ERROR={type(error).__name__}:{message}")

    def _tell(self, line: str) -> None:
        if self._notify >= 0:
            with suppress(OSError):  # the parent is gone, and the lifeline says so too
                os.write(self._notify, line[:4000].encode(errors="replace") + b"\n")

    def _watch(self, lifeline: int) -> None:
        while True:
            try:
                if not os.read(lifeline, 64):
                    break
            except OSError as exc:
                if exc.errno != errno.EINTR:
                    break
        with self._lock:
            self._lost = True
            ask = self._ask
        if ask is not None:
            ask()
            # Nothing to wait for but the end of the process, which ends this thread as well.
            threading.Event().wait(GRACE_SECONDS)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(128 + signal.SIGKILL)


_tether: Tether | None = None


def arm() -> Tether | None:
    """Tie this process to the parent that started it as a managed child; None if none did. Harmless when repeated."""
    global _tether
    if _tether is None and LIFELINE in os.environ:
        # Taken out of the environment, so that nothing this process starts believes that they are its own.
        lifeline, *held = map(int, os.environ.pop(LIFELINE).split(":"))
        _tether = Tether(lifeline, int(os.environ.pop(NOTIFY, "-1")), tuple(held))
    return _tether
