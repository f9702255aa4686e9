"""Stateful sets. Source: k8s.io/kubernetes/pkg/{registry,apis}/apps."""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.fields import dns_label, nonnegative
from hyperkube_apiserver.registry.meta import validate_annotations, validate_labels
from hyperkube_apiserver.registry.podspec.annotations import validate_pod_annotations
from hyperkube_apiserver.registry.podspec.claims import claim_warnings, validate_claim_spec
from hyperkube_apiserver.registry.podspec.defaults import default_claim_spec, fill
from hyperkube_apiserver.registry.podspec.spec import validate_template
from hyperkube_apiserver.registry.strategy import Tree, WriteContext
from hyperkube_apiserver.registry.workloads import (
    Workload,
    default_template,
    percentage,
    template_warnings,
    validate_amount_or_percent,
    validate_at_most_all,
    validate_collisions,
    validate_counts,
    validate_required_selector,
    validate_runs_forever,
    validate_selected_template,
)
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["StatefulSets"]


class StatefulSets(Workload):
    """Pods with names and volumes of their own: only some of its spec may change."""

    _MUTABLE = (
        *("replicas", "template", "updateStrategy", "minReadySeconds", "ordinals", "revisionHistoryLimit"),
        "persistentVolumeClaimRetentionPolicy",
    )

    def name_rule(self, name: str, prefix: bool) -> list[str]:
        return object_meta.dns_label(name, prefix)

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, podManagementPolicy="OrderedReady", replicas=1, revisionHistoryLimit=10)
        strategy = spec.setdefault("updateStrategy", {})
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
            if strategy.get("rollingUpdate") is None:
                strategy["rollingUpdate"] = {}
        if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
            fill(strategy["rollingUpdate"], partition=0)
        policy = spec.get("persistentVolumeClaimRetentionPolicy")
        if policy is None:
            policy = spec["persistentVolumeClaimRetentionPolicy"] = {}
        fill(policy, whenDeleted="Retain", whenScaled="Retain")
        for claim in spec.get("volumeClaimTemplates") or ():
            fill(claim, apiVersion="v1", kind="PersistentVolumeClaim")
            default_claim_spec(claim.setdefault("spec", {}))
            fill(claim.setdefault("status", {}), phase="Pending")
        default_template(spec)

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        _drop_unavailable(obj)
        super().prepare_for_create(obj, context)

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        if _rolling(old).get("maxUnavailable") is None:
            _drop_unavailable(obj)
        super().prepare_for_update(obj, old, context)

    def initial_status(self, obj: Tree) -> Tree:
        return {"replicas": 0, "availableReplicas": 0}

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = self._validate_spec(spec)
        for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            errors += validate_claim_spec(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")
        if name := spec.get("serviceName"):
            errors += dns_label(name, "spec.serviceName")
        return errors

    def _validate_spec(self, spec: Tree) -> list[FieldError]:
        errors: list[FieldError] = []
        policy = spec["podManagementPolicy"]
        if policy not in ("OrderedReady", "Parallel"):
            text = "must be 'OrderedReady' or 'Parallel'"
            errors.append(FieldError.invalid("spec.podManagementPolicy", policy, text))
        errors += _validate_stateful_strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")
        retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
        for field in ("whenDeleted", "whenScaled"):
            at = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
            value = retention.get(field) or ""
            if value not in ("Retain", "Delete"):
                errors.append(FieldError.not_supported(at, value, ("Retain", "Delete")))
        errors += nonnegative(spec.get("replicas"), "spec.replicas")
        errors += nonnegative(spec.get("minReadySeconds"), "spec.minReadySeconds")
        errors += nonnegative((spec.get("ordinals") or {}).get("start"), "spec.ordinals.start")
        errors += validate_required_selector(spec, "statefulset")
        errors += validate_selected_template(spec, lambda: self._validate_template(spec), text="")
        return errors + validate_runs_forever((spec.get("template") or {}).get("spec") or {}, "StatefulSet")

    def _validate_template(self, spec: Tree) -> list[FieldError]:
        template, path = spec.get("template") or {}, "spec.template"
        privileged = self.policy.allow_privileged
        errors = validate_template(_as_made(template, spec), path, allow_privileged=privileged)
        # Upstream checks the template's metadata a second time.
        mine = template.get("metadata") or {}
        annotations = mine.get("annotations") or {}
        errors += validate_labels(mine.get("labels") or {}, f"{path}.labels")
        errors += validate_annotations(annotations, f"{path}.annotations")
        return errors + validate_pod_annotations(annotations, template.get("spec") or {}, f"{path}.annotations")

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        errors = self._validate_spec(spec)
        fixed, kept = (
            {field: value for field, value in one.items() if field not in self._MUTABLE} for one in (spec, before)
        )
        if fixed != kept:
            text = (
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
                "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
                "'minReadySeconds' are forbidden"
            )
            errors.append(FieldError.forbidden("spec", text))
        return errors

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        spec = obj.get("spec") or {}
        made = old is None or meta.generation(old) != meta.generation(obj)
        texts = template_warnings(obj) if made else []
        for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            # The last part of the path is upstream's, of updates alone.
            path = f"spec.volumeClaimTemplates[{index}]{'' if old is None else '.Spec'}"
            texts += claim_warnings(claim.get("spec") or {}, path)
        if (spec.get("revisionHistoryLimit") or 0) < 0:
            text = "a negative value retains all historical revisions; a value >= 0 is recommended"
            texts.append(f"spec.revisionHistoryLimit: {text}")
        return texts

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        bounded = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
        status = obj.get("status") or {}
        fields = ("replicas", *bounded, "observedGeneration", "collisionCount")
        errors = validate_counts(status, fields, bounded, ready="status.readyReplicas")
        return errors + validate_collisions(status, old.get("status") or {})


def _rolling(obj: Tree) -> Tree:
    return ((obj.get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate") or {}


def _drop_unavailable(obj: Tree) -> None:
    """The feature MaxUnavailableStatefulSet is off unless a gate turns it on."""
    _rolling(obj).pop("maxUnavailable", None)


def _as_made(template: Tree, spec: Tree) -> Tree:
    """The template as the controller will use it: with the claims' volumes, its own hostname and subdomain."""
    claims = [(claim.get("metadata") or {}).get("name") or "" for claim in spec.get("volumeClaimTemplates") or ()]
    pod: dict[str, Any] = {
        field: value for field, value in (template.get("spec") or {}).items() if field not in ("hostname", "subdomain")
    }
    added = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in dict.fromkeys(claims)]
    if added:
        volumes = [volume for volume in pod.get("volumes") or () if volume.get("name") not in claims]
        pod["volumes"] = [*added, *volumes]
    return {**template, "spec": pod}


def _validate_stateful_strategy(strategy: Tree, path: str) -> list[FieldError]:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if kind == "OnDelete":
        if rolling is None:
            return []
        shown = {"Partition": rolling.get("partition") or 0, "MaxUnavailable": rolling.get("maxUnavailable")}
        text = "only allowed for updateStrategy 'RollingUpdate'"
        return [FieldError.invalid(f"{path}.rollingUpdate", shown, text)]
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": rolling}
        return [FieldError.invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'")]
    if rolling is None:
        return []
    at, unavailable = f"{path}.rollingUpdate.maxUnavailable", rolling.get("maxUnavailable")
    errors = nonnegative(rolling.get("partition"), f"{path}.rollingUpdate.partition")
    if unavailable is not None:
        errors += validate_amount_or_percent(unavailable, at)
        if not percentage(unavailable):
            errors.append(FieldError.invalid(at, unavailable, "cannot be 0"))
        errors += validate_at_most_all(unavailable, at)
    return errors
