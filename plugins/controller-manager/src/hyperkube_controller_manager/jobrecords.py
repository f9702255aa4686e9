"""How often pods of a job failed in a row, which decides how soon the next is tried.

Kept in memory: after a restart of the controller a failing job is tried once more without a pause.
Source: k8s.io/kubernetes/pkg/controller/job/backoff_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_controller_manager.jobpods import when_ended

__all__ = ["Record", "Records"]

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """Failures since the last success, and when the last of them was (seconds since the epoch)."""

    failures: int = 0
    last_failure: float = 0.0

    def after(self, succeeded: Iterable[Tree], failed: Iterable[Tree]) -> Record:
        """The record once these pods have ended too."""
        last_success = max((when_ended(pod) for pod in succeeded), default=None)
        failures = [when_ended(pod) for pod in failed]
        if last_success is None:
            if not failures:
                return self
            return Record(self.failures + len(failures), max(failures))
        later = [time for time in failures if time > last_success]
        return Record(len(later), max(later, default=0.0))


class Records:
    """The record of each job, by its key."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def after(self, key: str, succeeded: Iterable[Tree], failed: Iterable[Tree]) -> Record:
        """What the job's record becomes with these pods; it is kept only once they are counted."""
        return self._records.get(key, Record()).after(succeeded, failed)

    def keep(self, key: str, record: Record) -> None:
        self._records[key] = record

    def forget(self, key: str) -> None:
        self._records.pop(key, None)
