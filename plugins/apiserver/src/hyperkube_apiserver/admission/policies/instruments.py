"""What is counted of policies.

Source: k8s.io/apiserver/pkg/admission/plugin/policy/{validating,mutating}/metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hyperkube_machinery.serving.metrics import Registry

__all__ = ["Instruments", "error_type", "mutating_instruments", "validating_instruments"]

_LABELS = ("policy", "policy_binding", "error_type", "enforcement_action")


class Instruments:
    """How often policies were evaluated, how long that took and what came of it."""

    def __init__(self, registry: Registry, kind: str) -> None:
        self._checks = registry.counter(
            f"apiserver_{kind}_admission_policy_check_total",
            f"[BETA] Evaluations of {kind} admission policies, by binding and by what came of them.",
            _LABELS,
        )
        self._durations = registry.histogram(
            f"apiserver_{kind}_admission_policy_check_duration_seconds",
            f"[BETA] How long {kind} admission policies took, in seconds, by binding and by what came of them.",
            _LABELS,
            bounds=(0.0000005, 0.001, 0.01, 0.1, 1.0),
        )

    def observe(self, policy: str, binding: str, error: str, action: str, seconds: float) -> None:
        """An evaluation ended: `action` is allow, deny, audit or warn."""
        self._checks.labels(policy, binding, error, action).inc()
        self._durations.labels(policy, binding, error, action).observe(seconds)


validating_instruments: Callable[[Registry], Instruments] = partial(Instruments, kind="validating")
mutating_instruments: Callable[[Registry], Instruments] = partial(Instruments, kind="mutating")


def error_type(message: str, *, failed: bool) -> str:
    """What metrics call an error."""
    if not failed:
        return "no_error" if not message else "invalid_error"
    if message.startswith("compilation"):
        return "compile_error"
    if message.startswith("validation failed due to running out of cost budget"):
        return "out_of_budget"
    return "invalid_error"
