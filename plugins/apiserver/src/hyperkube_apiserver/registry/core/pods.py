"""Pods. Source: k8s.io/kubernetes/pkg/registry/core/pod, k8s.io/kubernetes/pkg/apis/core/v1/defaults.go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.addresses import address_warnings
from hyperkube_apiserver.registry.core.podstatus import validate_pod_status
from hyperkube_apiserver.registry.podspec.annotations import MIRROR, validate_pod_annotations
from hyperkube_apiserver.registry.podspec.apparmor import take_annotated_profiles
from hyperkube_apiserver.registry.podspec.containers import validate_image_spaces
from hyperkube_apiserver.registry.podspec.defaults import default_pod_spec
from hyperkube_apiserver.registry.podspec.disabled import drop_disabled
from hyperkube_apiserver.registry.podspec.faultless import Faultless
from hyperkube_apiserver.registry.podspec.podlevel import default_pod_level_resources
from hyperkube_apiserver.registry.podspec.profiles import validate_matching_profiles
from hyperkube_apiserver.registry.podspec.qos import qos_class
from hyperkube_apiserver.registry.podspec.resize import keep_all_but_size, validate_resize
from hyperkube_apiserver.registry.podspec.spec import validate_pod_spec
from hyperkube_apiserver.registry.podspec.update import (
    validate_annotation_changes,
    validate_ephemeral_changes,
    validate_spec_changes,
)
from hyperkube_apiserver.registry.podspec.warnings import spec_warnings
from hyperkube_apiserver.registry.strategy import (
    DEFAULT_POLICY,
    Policy,
    Strategy,
    Tree,
    WriteContext,
    keep,
    keep_meta,
    reset_meta_for_status,
)
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_label

__all__ = ["Pods"]


class Pods(Strategy):
    """Graceful deletion, a status that begins as Pending, and a spec of which little may change."""

    revalidates_meta = True
    counts_generation = True
    deletes_gracefully = True
    answers_deleted_object = True
    direct_subresources = frozenset(("binding",))

    def __init__(self, kind: Kind, policy: Policy = DEFAULT_POLICY) -> None:
        super().__init__(kind, policy)
        self._validate_pod = Faultless(self._validate_any_pod)
        self._warn_of = Faultless(spec_warnings)

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        for field in ("initContainers", "containers"):
            for container in spec.get(field) or ():
                _request_limits(container)
        default_pod_level_resources(spec)
        if spec.get("enableServiceLinks") is None:
            spec["enableServiceLinks"] = True
        if spec.get("hostNetwork"):
            for field in ("initContainers", "containers"):
                for container in spec.get(field) or ():
                    for port in container.get("ports") or ():
                        if not port.get("hostPort") and port.get("containerPort"):
                            port["hostPort"] = port["containerPort"]
        if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
            spec["terminationGracePeriodSeconds"] = 1
        default_pod_spec(spec)
        _mirror_address(obj.get("status") or {})

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        drop_disabled(obj.get("spec") or {}, None)
        super().prepare_for_create(obj, context)
        for condition in obj["status"].get("conditions") or ():
            condition["lastTransitionTime"] = context.now
        _merge_label_keys(obj)
        take_annotated_profiles(obj, context.warn)

    def initial_status(self, obj: Tree) -> Tree:
        status: Tree = {"phase": "Pending", "qosClass": qos_class(obj.get("spec") or {})}
        if obj.get("spec", {}).get("schedulingGates"):
            gated: Tree = {
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": None,
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
            status["conditions"] = [gated]
        return status

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        drop_disabled(obj.get("spec") or {}, old.get("spec") or {})
        if context.subresource == "ephemeralcontainers":
            added = obj.get("spec", {}).get("ephemeralContainers")
            reset_meta_for_status(obj, old)
            obj["spec"] = dict(old.get("spec") or {})
            obj["spec"].pop("ephemeralContainers", None)
            if added:
                obj["spec"]["ephemeralContainers"] = added
        if context.subresource == "resize" and keep_all_but_size(obj, old):
            reset_meta_for_status(obj, old)
        super().prepare_for_update(obj, old, context)

    def prepare_status_update(self, obj: Tree, old: Tree) -> None:
        keep(obj, old, "spec")
        keep_meta(obj, old, "ownerReferences")
        status, before = obj.setdefault("status", {}), old.get("status") or {}
        if not status.get("qosClass") and before.get("qosClass"):
            status["qosClass"] = before["qosClass"]
        _keep_observed_generations(status, before)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors = self._validate_pod(obj)
        spec = obj.get("spec") or {}
        if spec.get("ephemeralContainers"):
            errors.append(FieldError.forbidden("spec.ephemeralContainers", "cannot be set on create"))
        if spec.get("nodeName") and spec.get("schedulingGates"):
            text = "cannot be set until all schedulingGates have been cleared"
            errors.append(FieldError.forbidden("spec.nodeName", text))
        return errors + validate_matching_profiles(meta.annotations_of(obj), spec)

    def _validate_any_pod(self, obj: Tree) -> list[FieldError]:
        """What upstream checks of every pod, old and new."""
        spec = obj.get("spec") or {}
        errors = validate_pod_annotations(meta.annotations_of(obj), spec, "metadata.annotations")
        errors += validate_pod_spec(
            spec, "spec", pod_name=meta.name(obj), is_pod=True, allow_privileged=self.policy.allow_privileged
        )
        if MIRROR in meta.annotations_of(obj):
            why = "static pods do not support resource claims"
            errors += [FieldError.forbidden("", why)] * len(spec.get("resourceClaims") or ())
        if not spec.get("serviceAccountName"):
            errors += _validate_no_tokens(spec)
        for field in ("containers", "initContainers"):
            for index, container in enumerate(spec.get(field) or ()):
                errors += validate_image_spaces(container, f"spec.{field}[{index}]")
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors = self._validate_pod(obj) + validate_annotation_changes(obj, old)
        return errors + validate_spec_changes(obj.get("spec") or {}, old.get("spec") or {})

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return validate_annotation_changes(obj, old) + validate_pod_status(obj, old)

    def validate_subresource_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        errors = self.validate_meta(obj) + self._validate_pod(obj)
        if subresource == "resize":
            wrong, alone = validate_resize(obj, old)
            return wrong if alone else errors + wrong
        if MIRROR in meta.annotations_of(old):
            return [FieldError.forbidden("", "static pods do not support ephemeral containers")]
        return errors + validate_annotation_changes(obj, old) + validate_ephemeral_changes(obj, old)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        if old is not None:
            return []
        told = self._warn_of(obj)
        wrong = dns1123_label(meta.name(obj))
        if not wrong:
            return told
        text = (
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            "a DNS label is recommended"
        )
        return [f"{text}: [{' '.join(wrong)}]", *told]

    def status_warnings(self, obj: Tree) -> list[str]:
        status = obj.get("status") or {}
        return [
            text
            for field in ("podIPs", "hostIPs")
            for index, one in enumerate(status.get(field) or ())
            for text in address_warnings(one.get("ip") or "", f"status.{field}[{index}].ip")
        ]

    def grace_seconds(self, obj: Tree, requested: int | None) -> int:
        spec = obj.get("spec") or {}
        if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
            return 0
        seconds = requested if requested is not None else spec.get("terminationGracePeriodSeconds") or 0
        return 1 if seconds < 0 else seconds

    def field_values(self, obj: Tree) -> Mapping[str, str]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        addresses = status.get("podIPs") or ()
        return {
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase") or "",
            "status.podIP": addresses[0].get("ip") or "" if addresses else status.get("podIP") or "",
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }


def _mirror_address(status: Tree) -> None:
    """podIP is the first of podIPs; whichever is given gives the other, and podIP wins."""
    first, all_ = status.get("podIP") or "", status.get("podIPs") or []
    if first and (not all_ or all_[0].get("ip") != first):
        status["podIPs"] = [{"ip": first}]
    elif all_ and not first:
        status["podIP"] = all_[0].get("ip") or ""


def _validate_no_tokens(spec: Tree) -> list[FieldError]:
    text = "must not be specified when serviceAccountName is not set"
    return [
        FieldError.forbidden(f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken", text)
        for index, volume in enumerate(spec.get("volumes") or ())
        for position, source in enumerate((volume.get("projected") or {}).get("sources") or ())
        if source.get("serviceAccountToken") is not None
    ]


def _request_limits(container: Tree) -> None:
    """What is limited and not requested is requested up to its limit."""
    resources = container.get("resources") or {}
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _keep_observed_generations(status: Tree, before: Tree) -> None:
    """Writers that know nothing of observedGeneration do not erase it."""
    if not status.get("observedGeneration") and before.get("observedGeneration"):
        status["observedGeneration"] = before["observedGeneration"]
    known: dict[str, list[int]] = {}
    for condition in before.get("conditions") or ():
        known.setdefault(condition.get("type", ""), []).append(condition.get("observedGeneration") or 0)
    for condition in status.get("conditions") or ():
        earlier = known.get(condition.get("type", ""))
        generation = earlier.pop(0) if earlier else 0
        if not condition.get("observedGeneration") and generation:
            condition["observedGeneration"] = generation


def _merge_label_keys(obj: Tree) -> None:
    """matchLabelKeys and mismatchLabelKeys of affinity and spreading become expressions on the pod's own labels."""
    spec, labels = obj.get("spec") or {}, meta.labels_of(obj)
    affinity = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(name) or {}
        for term in part.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            _merge_into(term, labels)
        for weighted in part.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            _merge_into(weighted.get("podAffinityTerm") or {}, labels)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _merge_into(constraint, labels)


def _merge_into(term: Tree, labels: Mapping[str, Any]) -> None:
    selector = term.get("labelSelector")
    if selector is None:
        return
    for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        for key in term.get(field) or ():
            if key in labels:
                expressions = selector.setdefault("matchExpressions", [])
                expressions.append({"key": key, "operator": operator, "values": [labels[key]]})
