"""Runs one of the machine's programs to its end, with what it reads and what it writes."""

from __future__ import annotations

import os
import signal

from hyperkube_kubelet.runtime.process.reaper import launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from hyperkube_kubelet.runtime.process.reaper.loop import Loop

__all__ = ["Program"]

_MOST_OUTPUT = 8 << 20


class Program:
    """A program that runs; `done` is called with its exit code and what it wrote."""

    def __init__(
        self,
        loop: Loop,
        child: Callable[[list[int]], Callable[[socket.socket], None]],
        stdin: bytes,
        done: Callable[[int, bytes, bytes], None],
    ) -> None:
        self._loop, self._unread, self._done = loop, stdin, done
        self._written = {"stdout": bytearray(), "stderr": bytearray()}
        self._open: dict[str, int] = {}
        self._code: int | None = None
        reading, self._input = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(reading, True)
        theirs = [reading]
        for stream in self._written:
            ours, writing = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(ours, False)
            self._open[stream] = ours
            theirs.append(writing)
        self._pid, channel = launch.fork(child(theirs))
        channel.close()
        for descriptor in theirs:
            os.close(descriptor)
        loop.when_ended(self._pid, self._ended)
        for stream, descriptor in self._open.items():
            loop.when_ready(descriptor, lambda _, stream=stream: self._read(stream))  # type: ignore[misc]
        self._feed(self._input)

    def kill(self) -> None:
        """End it if it still runs."""
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)

    def _feed(self, descriptor: int) -> None:
        try:
            while self._unread:
                self._unread = self._unread[os.write(descriptor, self._unread) :]
        except BlockingIOError:
            self._loop.when_ready(descriptor, self._feed, write=True)
            return
        except OSError:
            pass  # it reads no more
        self._close_input()

    def _close_input(self) -> None:
        if self._input >= 0:
            self._loop.forget(self._input)
            os.close(self._input)
            self._input = -1

    def _read(self, stream: str) -> None:
        data = os.read(self._open[stream], 65536)
        self._written[stream] += data[: max(0, _MOST_OUTPUT - len(self._written[stream]))]
        if not data:
            descriptor = self._open.pop(stream)
            self._loop.forget(descriptor)
            os.close(descriptor)
            self._finish()

    def _ended(self, status: int) -> None:
        self._code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        self._close_input()
        self._finish()

    def _finish(self) -> None:
        if self._code is not None and not self._open:
            self._done(self._code, bytes(self._written["stdout"]), bytes(self._written["stderr"]))
