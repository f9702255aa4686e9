"""RuntimeClasses. Source: k8s.io/kubernetes/pkg/{registry,apis}/node."""

from __future__ import annotations

from hyperkube_apiserver.registry.fields import dns_label
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.meta import immutable, validate_labels
from hyperkube_apiserver.registry.nodelabels import OLD_NODE_LABELS
from hyperkube_apiserver.registry.podspec.resources import validate_resources
from hyperkube_apiserver.registry.podspec.scheduling import validate_tolerations
from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_machinery.errors import FieldError

__all__ = ["RuntimeClasses"]


class RuntimeClasses(Strategy):
    allows_create_on_update = True
    allows_unconditional_update = False
    revalidates_meta = True

    def validate_object(self, obj: Tree) -> list[FieldError]:
        handler = obj.get("handler") or ""
        errors = dns_label(handler, "handler") if handler else [FieldError.required("handler")]
        overhead, scheduling = obj.get("overhead"), obj.get("scheduling")
        if overhead is not None:
            errors += validate_resources({"limits": overhead.get("podFixed") or {}}, (), "overhead")
        if scheduling is not None:
            errors += validate_labels(scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector")
            errors += _validate_tolerations(scheduling.get("tolerations") or [], "scheduling.tolerations")
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        handler, before = obj.get("handler") or "", old.get("handler") or ""
        return self.validate_object(obj) + immutable("handler", handler, before)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        selector = (obj.get("scheduling") or {}).get("nodeSelector") or {}
        return [f"scheduling.nodeSelector: {OLD_NODE_LABELS[key]}" for key in selector if key in OLD_NODE_LABELS]


def _validate_tolerations(tolerations: list[Tree], path: str) -> list[FieldError]:
    errors = validate_tolerations(tolerations, path)
    seen: set[tuple[str, ...]] = set()
    for index, toleration in enumerate(tolerations):
        key = tuple(toleration.get(field) or "" for field in ("key", "operator", "value", "effect"))
        if key in seen:
            errors.append(FieldError.duplicate(f"{path}[{index}]", as_internal(toleration, "Toleration")))
        seen.add(key)
    return errors
