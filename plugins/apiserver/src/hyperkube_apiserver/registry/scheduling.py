"""PriorityClasses. Source: k8s.io/kubernetes/pkg/{registry,apis}/scheduling."""

from __future__ import annotations

from hyperkube_apiserver.registry.meta import immutable
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, FieldError, failure

__all__ = ["HIGHEST_USER_PRIORITY", "SYSTEM_CLASSES", "PriorityClasses"]

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_POLICIES = ("PreemptLowerPriority", "Never")


class PriorityClasses(Strategy):
    def default(self, obj: Tree) -> None:
        if obj.get("preemptionPolicy") is None:
            obj["preemptionPolicy"] = _POLICIES[0]

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        meta.ensure_meta(obj)["generation"] = 1  # and 1 it stays

    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors: list[FieldError] = []
        name, value = meta.name(obj), obj.get("value") or 0
        if name.startswith("system-"):
            why = _unlike_system_class(obj, name, value)
            if why:
                text = f"priority class names with 'system-' prefix are reserved for system use only. error: {why}"
                errors.append(FieldError.forbidden("metadata.name", text))
        elif value > HIGHEST_USER_PRIORITY:
            text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
            errors.append(FieldError.forbidden("value", text))
        policy = obj.get("preemptionPolicy")
        if policy == "":
            errors.append(FieldError.required("preemptionPolicy"))
        elif policy not in (None, *_POLICIES):
            errors.append(FieldError.not_supported("preemptionPolicy", policy, _POLICIES))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors: list[FieldError] = []
        if (obj.get("value") or 0) != (old.get("value") or 0):
            errors.append(FieldError.forbidden("value", "may not be changed in an update."))
        return errors + immutable("preemptionPolicy", obj.get("preemptionPolicy"), old.get("preemptionPolicy"))

    def check_deletion(self, name: str) -> None:
        if name in SYSTEM_CLASSES:
            resource = self.kind.resource
            why = "this is a system priority class and cannot be deleted"
            details = {"name": name, "group": resource.group, "kind": resource.resource}
            message = f'{resource.qualified} "{name}" is forbidden: {why}'
            raise APIError(failure(403, "Forbidden", message, details))


def _unlike_system_class(obj: Tree, name: str, value: int) -> str:
    """What makes a class with a system's name not the one that the system means."""
    expected = SYSTEM_CLASSES.get(name)
    if expected is None:
        return f"{name} is not a known system priority class"
    if value != expected:
        return f"value of {name} PriorityClass must be {expected}"
    return f"globalDefault of {name} PriorityClass must be false" if obj.get("globalDefault") else ""
