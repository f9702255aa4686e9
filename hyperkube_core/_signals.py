"""Signals: the first SIGINT or SIGTERM asks, the second insists; others are handed on to child processes.

Core alone installs handlers. They are Python's own, not the loop's, so that the second signal ends the process even
while a server keeps the loop busy.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hyperkube_core._loop import end_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

ASKING = (signal.SIGINT, signal.SIGTERM)
FORWARDED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def handled(
    *,
    ask: Callable[[int], None],
    insist: Callable[[], None] = lambda: None,
    forward: Callable[[int], None] | None = None,
) -> Iterator[None]:
    """Handle signals for the length of the block, and then as they were before.

    `ask` is called with the first SIGINT or SIGTERM. The second calls `insist` and ends the process at once, with
    128 + its number. `forward`, where it is given, is called with each signal of FORWARDED. All three are called in
    the middle of anything, so they may only set and send. A signal that whoever started us had ignored, as nohup does,
    stays ignored. Does nothing on another thread than the main one, which alone gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def on_asking(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            insist()
            end_process(128 + signum)
        asked = True
        ask(signum)

    def on_forwarded(signum: int, frame: FrameType | None) -> None:
        if forward is not None:
            forward(signum)

    handlers = dict.fromkeys(ASKING, on_asking)
    if forward is not None:
        handlers |= dict.fromkeys(FORWARDED, on_forwarded)
    before = {}
    try:
        for signum, handler in handlers.items():
            if signum == signal.SIGTERM or signal.getsignal(signum) is not signal.SIG_IGN:
                before[signum] = signal.signal(signum, handler)
        yield
    finally:
        for signum, previous in before.items():
            # None: a handler that Python did not install, and so cannot install again.
            signal.signal(signum, signal.SIG_DFL if previous is None else previous)
