"""What the real API server does, so that ours can be held against it where it can't run beside.

Measured once, with etcd, on a quiet machine of two cores whose bare responder (httptools and uvloop, TLS) answered
22,000 requests a second. A figure is carried over to this machine by the rate of the bare responder here: a machine
that does twice as much of that would let the real one do twice as much as well. That flatters the real one where its
disk is what holds it up.
"""

from __future__ import annotations

__all__ = ["Peer"]

_BARE_RATE = 22_000.0

# Answers a second, by connections.
_CREATES = {8: 647.0, 64: 729.0}
_GETS = {16: 1442.0, 128: 1794.0}
_LISTS_OF_500 = {4: 37.0}
_WHOLE_LIST_SECONDS = 1.4
_FAN_OUT_MILLISECONDS = 284.0


class Peer:
    """The real API server, as quick as this machine is."""

    def __init__(self, bare_rate: float) -> None:
        """`bare_rate`: answers a second of the bare responder here, at 16 connections."""
        self.scale = bare_rate / _BARE_RATE

    def creates(self, connections: int) -> float:
        """A second."""
        return _CREATES[connections] * self.scale

    def gets(self, connections: int) -> float:
        """A second."""
        return _GETS[connections] * self.scale

    def lists(self, connections: int) -> float:
        """Lists of 500 pods a second."""
        return _LISTS_OF_500[connections] * self.scale

    @property
    def whole_list(self) -> float:
        """Seconds for one list of 11,000 pods."""
        return _WHOLE_LIST_SECONDS / self.scale

    @property
    def fan_out(self) -> float:
        """Milliseconds until 99 of 100 of 1,000 watchers heard of a change."""
        return _FAN_OUT_MILLISECONDS / self.scale
