"""Namespaces: a deletion in two phases. Source: k8s.io/kubernetes/pkg/registry/core/namespace."""

from __future__ import annotations

from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.deletion import with_policy
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext, keep
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["Namespaces"]

_FINALIZER = "kubernetes"
_NAME_LABEL = "kubernetes.io/metadata.name"


class Namespaces(Strategy):
    """A namespace that is deleted stays, Terminating, until its spec.finalizers are gone."""

    revalidates_meta = True
    deletes_in_two_phases = True
    answers_deleted_object = True

    def name_rule(self, name: str, prefix: bool) -> list[str]:
        return object_meta.dns_label(name, prefix)

    def default(self, obj: Tree) -> None:
        if name := meta.name(obj):
            mine = meta.ensure_meta(obj)
            mine["labels"] = {**(mine.get("labels") or {}), _NAME_LABEL: name}
        status = obj.setdefault("status", {})
        if not status.get("phase"):
            status["phase"] = "Active"

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        super().prepare_for_create(obj, context)
        self.default(obj)  # a generated name was not known before
        spec = obj.setdefault("spec", {})
        finalizers = spec.get("finalizers") or []
        if _FINALIZER not in finalizers:
            spec["finalizers"] = [*finalizers, _FINALIZER]

    def initial_status(self, obj: Tree) -> Tree:
        return {"phase": "Active"}

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        super().prepare_for_update(obj, old, context)
        if not context.subresource:
            spec = obj.setdefault("spec", {})
            keep(spec, old.get("spec") or {}, "finalizers")

    def validate_object(self, obj: Tree) -> list[FieldError]:
        finalizers = (obj.get("spec") or {}).get("finalizers") or ()
        return [error for name in finalizers for error in _validate_finalizer(name, "spec.finalizers")]

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        phase = (obj.get("status") or {}).get("phase") or ""
        expected = "Active" if meta.deletion_timestamp(obj) is None else "Terminating"
        if phase == expected:
            return []
        state = "empty" if expected == "Active" else "not empty"
        return [
            FieldError.invalid("status.Phase", phase, f"may only be '{expected}' if `deletionTimestamp` is {state}")
        ]

    def validate_subresource_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        finalizers = (obj.get("spec") or {}).get("finalizers") or ()
        return [
            error
            for index, name in enumerate(finalizers)
            for error in _validate_finalizer(name, f"spec.finalizers[{index}]")
        ]

    def mark_deleted(self, obj: Tree, options: DeleteOptions) -> None:
        obj.setdefault("status", {})["phase"] = "Terminating"
        policy = options.propagation_policy
        if options.orphan_dependents is not None:
            policy = "Orphan" if options.orphan_dependents else "Foreground"
        if policy is not None:
            finalizers = with_policy(meta.finalizers(obj), policy)
            if finalizers:
                obj["metadata"]["finalizers"] = finalizers
            else:
                obj["metadata"].pop("finalizers", None)

    def blocks_removal(self, obj: Tree) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))


def _validate_finalizer(name: str, path: str) -> list[FieldError]:
    return object_meta.validate_finalizer(name, path) + object_meta.validate_standard_finalizer(name, path)
