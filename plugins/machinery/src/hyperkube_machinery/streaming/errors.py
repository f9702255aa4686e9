"""What goes wrong with streams of another server.

StreamingError
├── UpgradeRefused    the other server does not want, or speaks nothing that we speak
└── RemoteFailure     it says that what was asked for has failed, or breaks off before it says how it ended
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.errors import failure

__all__ = ["RemoteFailure", "StreamingError", "UpgradeRefused"]


class StreamingError(Exception):
    """Streams of another server can't be had, or end badly. The text is for people."""


class UpgradeRefused(StreamingError):
    """The other server answers with something else than the protocol that it was asked for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status  # of HTTP


class RemoteFailure(StreamingError):
    """What was asked for has failed there."""

    def __init__(self, message: str, status: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status or failure(500, "InternalError", message)
        """The Status that it told, for whoever passes it on."""
