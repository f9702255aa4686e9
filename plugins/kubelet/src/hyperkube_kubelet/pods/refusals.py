"""Why a container is not running although it should be."""

from __future__ import annotations

__all__ = ["NotStarted"]


class NotStarted(Exception):
    """A container could not be started; `reason` and `message` stand in its status."""

    def __init__(self, reason: str, message: str, *, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason  # CrashLoopBackOff, ErrImagePull, CreateContainerConfigError …
        self.message = message
        self.seconds = seconds  # how long to wait before the next try; 0 where that isn't known
