"""Nodes. Source: k8s.io/kubernetes/pkg/registry/core/node, ValidateNode and ValidateNodeUpdate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hyperkube_apiserver.registry.addresses import network_warnings, parse_address, validate_network
from hyperkube_apiserver.registry.amounts import validate_amount
from hyperkube_apiserver.registry.annotationlists import parse_entries, parse_list
from hyperkube_apiserver.registry.core.nodeconfig import (
    validate_config_source,
    validate_config_status,
    validate_declared_features,
    validate_swap,
)
from hyperkube_apiserver.registry.meta import validate_label_key
from hyperkube_apiserver.registry.podspec.defaults import default_resource_list
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext, field_text
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.jsontext import BadJSON
from hyperkube_machinery.names import label_value

__all__ = ["TAINT_EFFECTS", "Nodes"]

_TAINTS = "scheduler.alpha.kubernetes.io/taints"
_AVOIDED = "scheduler.alpha.kubernetes.io/preferAvoidPods"
_TAINT = {"key": "string", "value": "string", "effect": "core.TaintEffect", "timeAdded": ""}
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class Nodes(Strategy):
    """A node's status may be set on create; addresses of its pods and its provider never change."""

    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        status = obj.setdefault("status", {})
        if status.get("allocatable") is None and status.get("capacity") is not None:
            status["allocatable"] = dict(status["capacity"])
        default_resource_list(status.get("capacity"))
        default_resource_list(status.get("allocatable"))
        _mirror_pod_range(obj.get("spec") or {})

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        (obj.get("spec") or {}).pop("configSource", None)
        (obj.get("status") or {}).pop("config", None)

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        super().prepare_for_update(obj, old, context)
        # What the kubelet once was configured by may only stay where it is.
        part, field = ("status", "config") if context.subresource == "status" else ("spec", "configSource")
        if (old.get(part) or {}).get(field) is None:
            (obj.get(part) or {}).pop(field, None)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        # The path of taints is upstream's, though they stand in the spec.
        errors = _validate_taints(spec.get("taints") or (), "metadata.taints") + _validate_resources(obj)
        errors += _validate_annotations(obj)
        errors += validate_swap(status)
        errors += validate_declared_features(status.get("declaredFeatures") or (), "status.declaredFeatures")
        ranges = spec.get("podCIDRs") or []
        for index, value in enumerate(ranges):
            errors += validate_network(value, f"spec.podCIDRs[{index}]")
        return errors + (_validate_families(ranges, "spec.podCIDRs") if len(ranges) > 1 else [])

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return self.validate_object(obj) + self.validate_status_update(obj, old)

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        spec, before, status = obj.get("spec") or {}, old.get("spec") or {}, obj.get("status") or {}
        errors = _validate_resources(obj) + _validate_taints(spec.get("taints") or (), "metadata.taints")
        errors += _validate_annotations(obj)
        errors += validate_declared_features(status.get("declaredFeatures") or (), "status.declaredFeatures")
        errors += validate_config_source(spec.get("configSource"), "spec.configSource")
        errors += validate_config_status(status.get("config"), "status.config")
        seen: list[Tree] = []
        for index, address in enumerate(status.get("addresses") or ()):
            if address in seen:
                shown = {"Type": address.get("type", ""), "Address": address.get("address", "")}
                errors.append(FieldError.duplicate(f"status.addresses[{index}]", shown))
            seen.append(address)
        if (ranges := before.get("podCIDRs") or []) and ranges != (spec.get("podCIDRs") or []):
            why = 'node updates may not change podCIDR except from "" to valid'
            changed = sum(a != b for a, b in zip(ranges, spec.get("podCIDRs") or [], strict=False))
            count = changed if len(ranges) == len(spec.get("podCIDRs") or []) else 1
            errors += [FieldError.forbidden("spec.podCIDRs", why)] * count
        if before.get("providerID") and before["providerID"] != spec.get("providerID"):
            why = 'node updates may not change providerID except from "" to valid'
            errors.append(FieldError.forbidden("spec.providerID", why))
        if (before.get("externalID") or "") != (spec.get("externalID") or ""):
            errors.append(FieldError.forbidden("spec.externalID", "may not be updated"))
        return errors

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        spec = obj.get("spec") or {}
        texts = []
        if spec.get("configSource") is not None:
            texts.append("spec.configSource: the feature is removed")
        if spec.get("externalID"):
            texts.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
        for index, value in enumerate(spec.get("podCIDRs") or ()):
            texts += network_warnings(value, f"spec.podCIDRs[{index}]")
        return texts

    def field_values(self, obj: Tree) -> Mapping[str, str]:
        return {"spec.unschedulable": field_text(obj, "spec.unschedulable", "false")}


def _mirror_pod_range(spec: Tree) -> None:
    """podCIDR is the first of podCIDRs; whichever is given gives the other."""
    first, ranges = spec.get("podCIDR") or "", spec.get("podCIDRs") or []
    if (first and not ranges) or (first and ranges[0] != first):
        spec["podCIDRs"] = [first]
    elif ranges and not first:
        spec["podCIDR"] = ranges[0]


def _validate_resources(obj: Tree) -> list[FieldError]:
    status = obj.get("status") or {}
    return [
        error
        for field in ("capacity", "allocatable")
        for name, text in (status.get(field) or {}).items()
        for error in validate_amount(name, text, f"status.{field}.{name}")
    ]


def _validate_families(ranges: list[str], path: str) -> list[FieldError]:
    """One network of each family."""
    errors: list[FieldError] = []
    wrong = next((index for index, value in enumerate(ranges) if validate_network(value, "")), None)
    if wrong is not None:
        why = f"invalid CIDR[{wrong}]: <nil> (invalid CIDR address: {ranges[wrong]})"
        errors.append(FieldError.internal(path, f"invalid PodCIDRs. failed to check with dual stack with error:{why}"))
    families = {getattr(parse_address(value.partition("/")[0]), "version", 0) for value in ranges}
    if wrong is not None or len(ranges) > 2 or len(families) < 2:
        errors.append(FieldError.invalid(path, ranges, "may specify no more than one CIDR for each IP family"))
    return errors


def _validate_annotations(obj: Tree) -> list[FieldError]:
    annotations, path = meta.annotations_of(obj), "metadata.annotations"
    return _validate_old_taints(annotations.get(_TAINTS), path) + _validate_avoided(annotations.get(_AVOIDED), path)


def _validate_avoided(text: str | None, path: str) -> list[FieldError]:
    """The pods that once were to be kept away from a node, told by who made them."""
    if not text:
        return []
    try:
        entries = parse_entries(text, "AvoidPods", "preferAvoidPods", "PreferAvoidPodsEntry")
    except BadJSON as exc:
        return [FieldError.invalid(f"{path}.AvoidPods", _AVOIDED, str(exc))]
    errors: list[FieldError] = []
    for index, entry in enumerate(entries):
        at = f"{path}.{_AVOIDED}[{index}].PodSignature"
        signature = entry.get("podSignature")
        owner = signature.get("podController") if isinstance(signature, dict) else None
        if owner is None:
            errors.append(FieldError.required(at))
        elif not isinstance(owner, dict) or not owner.get("controller"):
            errors.append(FieldError.invalid(f"{at}.PodController.Controller", False, "must point to a controller"))
    return errors


def _validate_old_taints(text: str | None, path: str) -> list[FieldError]:
    """Taints, where they were before nodes had a field for them."""
    if not text:
        return []
    try:
        taints = parse_list(text, "Taint", _TAINT)
    except BadJSON as exc:
        return [FieldError.invalid(path, _TAINTS, str(exc))]
    return _validate_taints(taints, f"{path}.{_TAINTS}")


def _validate_taints(taints: Iterable[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        at = f"{path}[{index}]"
        key, effect = taint.get("key") or "", taint.get("effect") or ""
        errors += validate_label_key(key, f"{at}.key")
        if wrong := label_value(taint.get("value") or ""):
            errors.append(FieldError.invalid(f"{at}.value", taint["value"], ";".join(wrong)))
        if not effect:
            errors.append(FieldError.required(f"{at}.effect"))
        elif effect not in TAINT_EFFECTS:
            errors.append(FieldError.not_supported(f"{at}.effect", effect, TAINT_EFFECTS))
        if (key, effect) in seen:
            shown = {"Key": key, "Value": taint.get("value") or "", "Effect": effect, "TimeAdded": None}
            detail = "taints must be unique by key and effect pair"
            errors.append(FieldError("FieldValueDuplicate", at, detail, shown))
        seen.add((key, effect))
    return errors
