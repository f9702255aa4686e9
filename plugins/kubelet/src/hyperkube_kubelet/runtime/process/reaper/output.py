"""What a container writes: into its log, and to whoever is attached."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hyperkube_kubelet.runtime.process.reaper.logs import Log
    from hyperkube_kubelet.runtime.process.reaper.loop import Loop

__all__ = ["Copy", "Output"]

_PIECE = 64 << 10


class Copy:
    """One who is attached gets a copy of a stream, by a pipe. Who reads slowly slows the container down."""

    def __init__(self, loop: Loop, writing: int, resume: Callable[[], None]) -> None:
        self._loop, self._writing, self._resume = loop, writing, resume
        self._pending = b""
        self._ended = False
        os.set_blocking(writing, False)

    @property
    def full(self) -> bool:
        return bool(self._pending)

    @property
    def gone(self) -> bool:
        return self._writing < 0

    def write(self, data: bytes) -> None:
        if self._writing < 0:
            return
        self._pending += data
        self._flush(self._writing)

    def end(self) -> None:
        """Close the pipe once everything is out."""
        self._ended = True
        if self._writing >= 0:
            self._flush(self._writing)

    def close(self) -> None:
        if self._writing >= 0:
            self._loop.forget(self._writing)
            os.close(self._writing)
        self._writing, self._pending = -1, b""
        self._resume()

    def _flush(self, descriptor: int) -> None:
        try:
            while self._pending:
                self._pending = self._pending[os.write(descriptor, self._pending) :]
        except BlockingIOError:
            self._loop.when_ready(descriptor, self._flush, write=True)
            return
        except OSError:
            self.close()
            return
        self._loop.forget(descriptor)
        if self._ended:
            self.close()
        else:
            self._resume()


class Output:
    """The streams of a container while it runs."""

    def __init__(self, loop: Loop, log: Log | None) -> None:
        self._loop, self._log = loop, log
        self._streams: dict[str, int] = {}
        self._copies: dict[str, list[Copy]] = {"stdout": [], "stderr": []}

    def follow(self, stream: str, descriptor: int) -> None:
        """Read `descriptor` from now on, and close it at its end."""
        os.set_blocking(descriptor, False)
        self._streams[stream] = descriptor
        self._loop.when_ready(descriptor, lambda _: self._read(stream))

    def copy(self, stream: str, writing: int) -> Copy:
        """Pass what comes on to the pipe `writing`, too."""
        copy = Copy(self._loop, writing, lambda: self._resume(stream))
        self._copies[stream].append(copy)
        return copy

    def _resume(self, stream: str) -> None:
        self._copies[stream] = [copy for copy in self._copies[stream] if not copy.gone]
        if stream in self._streams and not any(copy.full for copy in self._copies[stream]):
            self._loop.when_ready(self._streams[stream], lambda _: self._read(stream))

    def _read(self, stream: str) -> bool:
        """Take what is there; whether there may be more."""
        descriptor = self._streams[stream]
        try:
            data = os.read(descriptor, _PIECE)
        except BlockingIOError:
            return False
        except OSError:  # a terminal whose other end nobody holds any more
            data = b""
        if not data:
            self._end(stream)
            return False
        if self._log is not None:
            self._log.write(stream, data)
        for copy in list(self._copies[stream]):
            copy.write(data)
        if any(copy.full for copy in self._copies[stream]):
            self._loop.forget(descriptor)
        return True

    def _end(self, stream: str) -> None:
        descriptor = self._streams.pop(stream)
        self._loop.forget(descriptor)
        os.close(descriptor)
        if self._log is not None:
            self._log.end(stream)
        for copy in list(self._copies[stream]):
            copy.end()

    def drain(self) -> None:
        """Take what is left, now that nobody writes any more."""
        for stream in list(self._streams):
            while self._read(stream):
                pass
            if stream in self._streams:
                self._end(stream)
        if self._log is not None:
            self._log.close()
