"""Leases. Source: k8s.io/kubernetes/pkg/{registry,apis}/coordination."""

from __future__ import annotations

from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext
from hyperkube_machinery.errors import FieldError

__all__ = ["Leases"]

_ALPHA = ("strategy", "preferredHolder")  # of coordinated leader election, which is off


class Leases(Strategy):
    allows_create_on_update = True
    allows_unconditional_update = False
    knows_finalizers = False

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        for field in _ALPHA:
            (obj.get("spec") or {}).pop(field, None)

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        for field in _ALPHA:
            if (old.get("spec") or {}).get(field) is None:
                (obj.get("spec") or {}).pop(field, None)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors: list[FieldError] = []
        duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if duration is not None and duration <= 0:
            errors.append(FieldError.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            text = "must be greater than or equal to 0"
            errors.append(FieldError.invalid("spec.leaseTransitions", transitions, text))
        return errors
