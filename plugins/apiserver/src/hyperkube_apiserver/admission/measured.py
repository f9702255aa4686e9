"""Admission that is timed: how long all plugins together took, and whether they refused.

Source: k8s.io/apiserver/pkg/admission/metrics (step_admission_duration_seconds).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from hyperkube_apiserver.operations.instruments import Instruments
from hyperkube_apiserver.registry.attributes import AdmissionControl, Attributes

__all__ = ["MeasuredAdmission"]


class MeasuredAdmission:
    """An AdmissionControl that passes on to another."""

    def __init__(self, admission: AdmissionControl, instruments: Instruments, monotonic: Callable[[], float]) -> None:
        self._admission = admission
        self._durations = instruments.admission_durations
        self._monotonic = monotonic

    def admit(self, attributes: Attributes) -> Coroutine[Any, Any, None]:
        return self._timed("admit", attributes, self._admission.admit(attributes))

    def validate(self, attributes: Attributes) -> Coroutine[Any, Any, None]:
        return self._timed("validate", attributes, self._admission.validate(attributes))

    async def _timed(self, step: str, attributes: Attributes, asked: Awaitable[None]) -> None:
        began = self._monotonic()
        rejected = "true"
        try:
            await asked
            rejected = "false"
        finally:
            durations = self._durations.labels(step, attributes.operation, rejected)
            durations.observe(self._monotonic() - began)
