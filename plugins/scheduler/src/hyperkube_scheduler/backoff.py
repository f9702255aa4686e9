"""How long a pod waits after it was refused. Source: k8s.io/kubernetes/pkg/scheduler/backend/queue (backoffQueue)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WINDOW_SECONDS", "Backoff"]

WINDOW_SECONDS = 1.0
"""Waits end together at full seconds, so that those who end in the same are sorted by priority."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Twice as long each time, up to a limit; seconds."""

    initial: float = 1.0
    most: float = 10.0

    def seconds(self, attempts: int) -> float:
        """The wait after so many failed attempts."""
        if attempts <= 0 or self.most == 0:
            return 0.0
        shift = min(attempts - 1, 62)
        return self.most if self.initial > self.most / (1 << shift) else self.initial * (1 << shift)

    @staticmethod
    def aligned(when: float) -> float:
        return when // WINDOW_SECONDS * WINDOW_SECONDS
