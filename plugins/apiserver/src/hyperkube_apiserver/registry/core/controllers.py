"""Replication controllers and pod templates.

Source: k8s.io/kubernetes/pkg/registry/core/{replicationcontroller,podtemplate}.
"""

from __future__ import annotations

from collections.abc import Mapping

from hyperkube_apiserver.registry.fields import nonnegative
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.podspec.spec import validate_template
from hyperkube_apiserver.registry.podspec.warnings import spec_warnings
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext, field_text
from hyperkube_apiserver.registry.workloads import (
    Workload,
    default_template,
    drop_disabled_of,
    mismatched_labels,
    validate_counts,
    validate_forever_template,
)
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["PodTemplates", "ReplicationControllers"]


class ReplicationControllers(Workload):
    """Its selector is a plain map; what its template says of labels it says of itself too."""

    default_propagation = "Orphan"

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, replicas=1)
        if spec.get("template") is None:
            return
        default_template(spec)
        labels = spec["template"]["metadata"].get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            mine = meta.ensure_meta(obj)
            if not mine.get("labels"):
                mine["labels"] = dict(labels)

    def initial_status(self, obj: Tree) -> Tree:
        return {"replicas": 0}

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        selector, template = spec.get("selector") or {}, spec.get("template")
        errors = nonnegative(spec.get("minReadySeconds"), "spec.minReadySeconds")
        if not selector:
            errors.append(FieldError.required("spec.selector"))
        errors += nonnegative(spec.get("replicas"), "spec.replicas")
        if template is None:
            return [*errors, FieldError.required("spec.template")]
        labels = (template.get("metadata") or {}).get("labels")
        if any((labels or {}).get(key) != value for key, value in selector.items()):
            errors.append(mismatched_labels(labels))
        return errors + validate_forever_template(template, "ReplicationController", self.policy)

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        bounded = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
        return validate_counts(obj.get("status") or {}, ("replicas", *bounded, "observedGeneration"), bounded)

    def field_values(self, obj: Tree) -> Mapping[str, str]:
        return {"status.replicas": field_text(obj, "status.replicas", "0")}


class PodTemplates(Strategy):
    answers_deleted_object = True
    counts_generation = True

    def default(self, obj: Tree) -> None:
        default_template(obj)

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        drop_disabled_of(obj, path="template")
        meta.ensure_meta(obj)["generation"] = 1

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        drop_disabled_of(obj, old, "template")
        super().prepare_for_update(obj, old, context)

    def is_new_generation(self, obj: Tree, old: Tree) -> bool:
        return obj.get("template") != old.get("template")

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return validate_template(obj.get("template") or {}, "template", allow_privileged=self.policy.allow_privileged)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        if old is not None and meta.generation(old) == meta.generation(obj):
            return []
        return spec_warnings(obj.get("template") or {}, "template")
