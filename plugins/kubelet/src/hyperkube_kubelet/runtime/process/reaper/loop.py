"""The reaper's event loop: descriptors, timers and the ends of children, on one thread."""

from __future__ import annotations

import heapq
import os
import select
import signal
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Loop", "Timer"]

_READ = select.EPOLLIN | select.EPOLLRDHUP
_WRITE = select.EPOLLOUT


class Timer:
    """Something to be done later, unless it is cancelled."""

    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Loop:
    """Calls back when a descriptor is ready, a time has come or a child has ended. A callback must not wait."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, tuple[int, Callable[[int], object]]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._serial = 0
        self._children: dict[int, Callable[[int], None]] = {}
        self._running = True
        self._woken, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)
        self.when_ready(self._woken, self._signalled)

    # Descriptors

    def when_ready(self, descriptor: int, callback: Callable[[int], object], *, write: bool = False) -> None:
        """Call `callback(descriptor)` whenever it can be read (or written, too); in place of an earlier one."""
        wanted = _READ | _WRITE if write else _READ
        if descriptor in self._callbacks:
            self._epoll.modify(descriptor, wanted)
        else:
            self._epoll.register(descriptor, wanted)
        self._callbacks[descriptor] = (wanted, callback)

    def forget(self, descriptor: int) -> None:
        """Call nobody for it any more; nothing happens where nobody was."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    # Time

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + seconds, action)
        self._serial += 1
        heapq.heappush(self._timers, (timer.due, self._serial, timer))
        return timer

    # Children

    def when_ended(self, pid: int, callback: Callable[[int], None]) -> None:
        """Call `callback(status)`, as waitpid tells it, when the child has ended."""
        self._children[pid] = callback

    def _signalled(self, descriptor: int) -> None:
        with suppress(BlockingIOError):
            os.read(descriptor, 512)
        self.reap()

    def reap(self) -> None:
        """Take note of every child that has ended, also of orphans that nobody asked about."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            callback = self._children.pop(pid, None)
            if callback is not None:
                _guarded(callback, status)

    def aside(self, action: Callable[[], None], done: Callable[[], None]) -> None:
        """Do what may take long in a process of its own, then call `done`, however it went."""
        pid = os.fork()
        if pid:
            self.when_ended(pid, lambda _: done())
            return
        try:
            action()
        except Exception:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)

    # Running

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        """Go round until somebody stops it."""
        while self._running:
            for descriptor, _ in self._epoll.poll(self._wait_seconds()):
                known = self._callbacks.get(descriptor)
                if known is not None:
                    _guarded(known[1], descriptor)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                timer = heapq.heappop(self._timers)[2]
                if timer.action is not None:
                    _guarded(lambda _, action=timer.action: action(), 0)  # type: ignore[misc]

    def _wait_seconds(self) -> float:
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return -1
        return max(0.0, self._timers[0][0] - time.monotonic())


def _nothing(*_: object) -> None:
    """A handler, so that the signal is not ignored."""


def _guarded(callback: Callable[[int], object], argument: int) -> None:
    """No mistake in one pod's business ends the others."""
    try:
        callback(argument)
    except Exception:
        sys.excepthook(*sys.exc_info())
