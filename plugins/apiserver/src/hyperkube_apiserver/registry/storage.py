"""Kinds of storage.k8s.io: classes, what CSI drivers tell of themselves and of nodes, attachments.

Source: k8s.io/kubernetes/pkg/registry/storage, pkg/apis/storage/{v1,validation}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.core.volumes import validate_sources
from hyperkube_apiserver.registry.fields import dns_subdomain, nonnegative, one_of, qualified, validate_label_selector
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.meta import IMMUTABLE, immutable, validate_label_key
from hyperkube_apiserver.registry.nodelabels import OLD_NODE_LABELS, node_term_warnings
from hyperkube_apiserver.registry.podspec.claims import validate_access_modes
from hyperkube_apiserver.registry.podspec.defaults import default_resource_list, default_volume_source
from hyperkube_apiserver.registry.podspec.sources import validate_csi_driver_name
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext, reset_meta_for_status
from hyperkube_apiserver.registry.workloads import shown_selector
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quantity import Quantity

__all__ = [
    "CSIDrivers",
    "CSINodes",
    "CSIStorageCapacities",
    "StorageClasses",
    "VolumeAttachments",
    "VolumeAttributesClasses",
]

_PARAMETERS_BYTES = 256 << 10
_MOST_PARAMETERS = 512
_ERROR_BYTES = 1024
_NODE_ID_BYTES = 256
_SHORTEST_TOKEN_SECONDS = 600
_LONGEST_TOKEN_SECONDS = 1 << 32
_SHORTEST_PERIOD_SECONDS = 10
_INT32_MAX = (1 << 31) - 1


def _set_absent(tree: Tree, **values: Any) -> None:
    """Set what is absent or null; the empty text is a value here, as behind Go's pointers."""
    for name, value in values.items():
        if tree.get(name) is None:
            tree[name] = value


def _validate_provisioner(name: str, path: str) -> list[FieldError]:
    return qualified(name.lower(), path) if name else [FieldError.required(path)]


def _validate_parameters(parameters: Mapping[str, str], path: str) -> list[FieldError]:
    if len(parameters) > _MOST_PARAMETERS:
        return [FieldError.too_long(path, _MOST_PARAMETERS)]
    errors = [FieldError.invalid(path, "", "field can not be empty.")] if "" in parameters else []
    if _bytes(parameters) > _PARAMETERS_BYTES:
        errors.append(FieldError.too_long(path, _PARAMETERS_BYTES))
    return errors


def _bytes(texts: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in texts.items())


class StorageClasses(Strategy):
    answers_deleted_object = True
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        _set_absent(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors = _validate_provisioner(obj.get("provisioner") or "", "provisioner")
        errors += _validate_parameters(obj.get("parameters") or {}, "parameters")
        if policy := obj["reclaimPolicy"]:
            errors += one_of(policy, ("Delete", "Retain"), "reclaimPolicy")
        errors += one_of(obj["volumeBindingMode"], ("Immediate", "WaitForFirstConsumer"), "volumeBindingMode")
        return errors + _validate_topologies(obj.get("allowedTopologies") or (), "allowedTopologies")

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors = self.validate_object(obj)
        new, before = (dict(sorted((one.get("parameters") or {}).items())) or None for one in (obj, old))
        errors += immutable("parameters", new, before)
        for field in ("provisioner", "reclaimPolicy", "volumeBindingMode"):
            errors += immutable(field, obj.get(field) or "", old.get(field) or "")
        return errors

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        return [
            f"allowedTopologies[{index}].matchLabelExpressions[{position}].key: {OLD_NODE_LABELS[expression['key']]}"
            for index, term in enumerate(obj.get("allowedTopologies") or ())
            for position, expression in enumerate(term.get("matchLabelExpressions") or ())
            if expression.get("key") in OLD_NODE_LABELS
        ]


def _validate_topologies(terms: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: list[dict[str, set[str]]] = [{} for _ in terms]  # so that a term that says nothing is always one too many
    for index, term in enumerate(terms):
        at = f"{path}[{index}].matchLabelExpressions"
        found: dict[str, set[str]] = {}
        for position, expression in enumerate(term.get("matchLabelExpressions") or ()):
            where, key, values = f"{at}[{position}]", expression.get("key") or "", expression.get("values") or []
            if not values:
                errors.append(FieldError.required(f"{where}.values"))
            for number, value in enumerate(values):
                if value in values[:number]:
                    errors.append(FieldError.duplicate(f"{where}.values[{number}]", value))
            errors += validate_label_key(key, f"{where}.key")
            if key in found:
                errors.append(FieldError.duplicate(f"{where}.key", key))
            found[key] = set(values)
        errors += [FieldError.duplicate(at, "")] * seen.count(found)
        seen.append(found)
    return errors


class VolumeAttributesClasses(Strategy):
    answers_deleted_object = True
    revalidates_meta = True

    def validate_object(self, obj: Tree) -> list[FieldError]:
        parameters = obj.get("parameters") or {}
        errors = _validate_provisioner(obj.get("driverName") or "", "driverName")
        errors += _validate_parameters(parameters, "parameters")
        if not parameters:
            errors.append(FieldError.required("parameters", "must contain at least one key/value pair"))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors = [
            FieldError.forbidden(field, f"updates to {field} are forbidden.")
            for field in ("driverName", "parameters")
            if (obj.get(field) or None) != (old.get(field) or None)
        ]
        return errors + self.validate_object(obj)


class CSIDrivers(Strategy):
    allows_unconditional_update = False
    answers_deleted_object = True

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        _set_absent(spec, attachRequired=True, podInfoOnMount=False, storageCapacity=False, requiresRepublish=False)
        _set_absent(spec, fsGroupPolicy="ReadWriteOnceWithFSType", seLinuxMount=False)
        spec["volumeLifecycleModes"] = spec.get("volumeLifecycleModes") or ["Persistent"]
        for request in spec.get("tokenRequests") or ():
            _set_absent(request, audience="")

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        obj["spec"].pop("preventPodSchedulingIfMissing", None)  # belongs to a feature that is off

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        if old["spec"].get("preventPodSchedulingIfMissing") is None:
            obj["spec"].pop("preventPodSchedulingIfMissing", None)
        if obj["spec"] != old["spec"]:
            meta.ensure_meta(obj)["generation"] = meta.generation(old) + 1  # from 0: a new one has none

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj["spec"]
        errors = one_of(
            spec["fsGroupPolicy"], ("File", "None", "ReadWriteOnceWithFSType"), "spec.fsGroupPolicy"
        ) + _validate_tokens(spec.get("tokenRequests") or (), "spec.tokenRequests")
        modes = ("Persistent", "Ephemeral")
        for mode in spec["volumeLifecycleModes"]:
            if mode not in modes:
                errors.append(FieldError.not_supported("spec.volumeLifecycleModes", mode, modes))
        period, field = spec.get("nodeAllocatableUpdatePeriodSeconds"), "spec.nodeAllocatableUpdatePeriodSeconds"
        if period is not None and period < _SHORTEST_PERIOD_SECONDS:
            text = f"must be greater than or equal to {_SHORTEST_PERIOD_SECONDS} seconds"
            errors.append(FieldError.invalid(field, period, text))
        in_secrets = spec.get("serviceAccountTokenInSecrets")
        if in_secrets is not None and not spec.get("tokenRequests"):
            text = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
            errors.append(FieldError.invalid("spec.serviceAccountTokenInSecrets", in_secrets, text))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors = self.validate_object(obj)
        # "attached" is upstream's spelling.
        for path, field in (("attachedRequired", "attachRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")):
            errors += immutable(f"spec.{path}", obj["spec"][field], old["spec"][field])
        return errors

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        requests = obj["spec"].get("tokenRequests")
        if not requests or obj["spec"].get("serviceAccountTokenInSecrets") is not None:
            return []
        if old is not None and old["spec"].get("tokenRequests") == requests:
            return []
        return [
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent "
            "possible logging of tokens in volume attributes"
        ]


def _validate_tokens(requests: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    audiences: set[str] = set()
    for index, request in enumerate(requests):
        at, audience, seconds = f"{path}[{index}]", request["audience"], request.get("expirationSeconds")
        if audience in audiences:
            errors.append(FieldError.duplicate(f"{at}.audience", audience))
            continue
        audiences.add(audience)
        if seconds is not None and seconds < _SHORTEST_TOKEN_SECONDS:
            text = "may not specify a duration less than 10 minutes"
            errors.append(FieldError.invalid(f"{at}.expirationSeconds", seconds, text))
        if seconds is not None and seconds > _LONGEST_TOKEN_SECONDS:
            text = "may not specify a duration larger than 2^32 seconds"
            errors.append(FieldError.invalid(f"{at}.expirationSeconds", seconds, text))
    return errors


class CSINodes(Strategy):
    allows_unconditional_update = False
    answers_deleted_object = True
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        spec["drivers"] = spec.get("drivers") or None
        for driver in spec["drivers"] or ():
            driver["topologyKeys"] = driver.get("topologyKeys") or None

    def validate_own_meta_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        return []  # it is checked as a new object's is

    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for index, driver in enumerate(obj["spec"]["drivers"] or ()):
            path, name = f"spec.drivers[{index}]", driver.get("name") or ""
            errors += _validate_driver(driver, name, path)
            if name in seen:
                errors.append(FieldError.duplicate(f"{path}.name", name))
            seen.add(name)
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors = self.validate_object(obj)
        for before in old["spec"]["drivers"] or ():
            for driver in obj["spec"]["drivers"] or ():
                if driver.get("name") == before.get("name"):
                    errors += immutable("spec.drivers", _shown_driver(driver), _shown_driver(before))
        return errors


def _validate_driver(driver: Tree, name: str, path: str) -> list[FieldError]:
    errors = validate_csi_driver_name(name, f"{path}.name")
    node, at = driver.get("nodeID") or "", f"{path}.nodeID"
    if not node:
        errors.append(FieldError.required(at))
    if len(node.encode()) > _NODE_ID_BYTES:
        errors.append(FieldError.invalid(at, node, f"must be {_NODE_ID_BYTES} characters or less"))
    errors += nonnegative((driver.get("allocatable") or {}).get("count"), f"{path}.allocatable.count")
    keys = driver["topologyKeys"] or []
    for index, key in enumerate(keys):
        if not key:
            errors.append(FieldError.required(path))
        if key in keys[:index]:
            errors.append(FieldError.duplicate(path, key))
        errors += qualified(key, path)
    return errors


def _shown_driver(driver: Tree) -> dict[str, Any]:
    """A driver as messages show it, without how much it can take, which may change."""
    return {
        "Name": driver.get("name") or "",
        "NodeID": driver.get("nodeID") or "",
        "TopologyKeys": driver["topologyKeys"],
        "Allocatable": None,
    }


class CSIStorageCapacities(Strategy):
    allows_unconditional_update = False
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        _set_absent(obj, storageClassName="")

    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors = validate_label_selector(obj.get("nodeTopology"), "nodeTopology")
        errors += dns_subdomain(obj["storageClassName"], "storageClassName")
        capacity = obj.get("capacity")
        if capacity is not None and Quantity.parse(capacity).nano < 0:
            text = "must be greater than or equal to 0"
            errors.append(FieldError.invalid("capacity", capacity, text))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors, topology = self.validate_object(obj), obj.get("nodeTopology")
        if (topology or None) != (old.get("nodeTopology") or None):
            shown = None if topology is None else shown_selector(topology)
            errors.append(FieldError.invalid("nodeTopology", shown, IMMUTABLE))
        return errors + immutable("storageClassName", obj["storageClassName"], old["storageClassName"])

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        topology = obj.get("nodeTopology") or {}
        texts = list(node_term_warnings(topology, "nodeTopology", check_values=False))
        labels = topology.get("matchLabels") or {}
        return texts + [
            f"nodeTopology.matchLabels.{label}: {OLD_NODE_LABELS[label]}"
            for label in labels
            if label in OLD_NODE_LABELS
        ]


class VolumeAttachments(Strategy):
    allows_unconditional_update = False
    answers_deleted_object = True
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        spec, status = obj.setdefault("spec", {}), obj.setdefault("status", {})
        _set_absent(status, attached=False)
        _set_absent(spec, attacher="", source={}, nodeName="")
        inline = spec["source"].get("inlineVolumeSpec")
        if inline is not None:
            default_resource_list(inline.get("capacity"))
            default_volume_source(inline)

    def initial_status(self, obj: Tree) -> Tree:
        return {"attached": False}

    def prepare_status_update(self, obj: Tree, old: Tree) -> None:
        super().prepare_status_update(obj, old)
        reset_meta_for_status(obj, old)

    def validate_own_meta_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        # What a new object must pass; strategies do that by themselves for the object, not for its status.
        return self.validate_meta(obj) if subresource else []

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec, status = obj["spec"], obj.get("status") or {}
        errors = validate_csi_driver_name(spec["attacher"], "spec.attacher")
        errors += _validate_attached_source(spec["source"], "spec.source")
        errors += dns_subdomain(spec["nodeName"], "spec.nodeName")
        if _bytes(status.get("attachmentMetadata") or {}) > _PARAMETERS_BYTES:
            errors.append(FieldError.too_long("status.attachmentMetadata", _PARAMETERS_BYTES))
        for field in ("attachError", "detachError"):
            errors += _validate_volume_error(status.get(field) or {}, f"status.{field}")
        if (name := spec["source"].get("persistentVolumeName")) is not None:
            errors += dns_subdomain(name, "spec.source.persistentVolumeName")
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return self.validate_object(obj) + immutable("spec", _shown_spec(obj["spec"]), _shown_spec(old["spec"]))

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return self.validate_object_update(obj, old)


def _validate_attached_source(source: Tree, path: str) -> list[FieldError]:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and name is None:
        return [FieldError.required(path, text)]
    if inline is not None and name is not None:
        return [FieldError.forbidden(path, text)]
    if inline is not None:
        return _validate_inline_volume(inline, f"{path}.inlineVolumeSpec")
    if not name:
        return [FieldError.required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")]
    return []


def _validate_inline_volume(spec: Tree, path: str) -> list[FieldError]:
    """A persistent volume's spec that stands in a pod, which has less to say."""
    suffix = "in the context of inline volumes"
    errors = [
        FieldError.forbidden(f"{path}.{field}", f"may not be specified {suffix}")
        for field in ("claimRef", "capacity", "nodeAffinity", "storageClassName")
        if spec.get(field) or (field in ("claimRef", "nodeAffinity") and spec.get(field) is not None)
    ]
    if spec.get("csi") is None:
        errors.append(FieldError.required(f"{path}.csi", f"has to be specified {suffix}"))
    modes = spec.get("accessModes") or ()
    if not modes:
        errors.append(FieldError.required(f"{path}.accessModes"))
    errors += validate_access_modes(modes, f"{path}.accessModes")
    if spec.get("persistentVolumeReclaimPolicy") not in (None, "", "Retain"):
        text = f"may only be Retain {suffix}"
        errors.append(FieldError.forbidden(f"{path}.persistentVolumeReclaimPolicy", text))
    errors += validate_sources(spec, path)
    if spec.get("volumeMode") not in (None, "Filesystem"):
        text = f"may not specify volumeMode other than Filesystem {suffix}"
        errors.append(FieldError.forbidden(f"{path}.volumeMode", text))
    return errors


def _validate_volume_error(error: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if len((error.get("message") or "").encode()) > _ERROR_BYTES:
        errors.append(FieldError.too_long(f"{path}.message", _PARAMETERS_BYTES))  # not the limit, but upstream's text
    code = error.get("errorCode")
    if code is not None and code < 0:
        text = f"must be between 0 and {_INT32_MAX}, inclusive"
        errors.append(FieldError.invalid(f"{path}.errorCode", code, text))
    return errors


def _shown_spec(spec: Tree) -> dict[str, Any]:
    """The spec of an attachment as messages show it."""
    inline = spec["source"].get("inlineVolumeSpec")
    return {
        "Attacher": spec["attacher"],
        "Source": {
            "PersistentVolumeName": spec["source"].get("persistentVolumeName"),
            "InlineVolumeSpec": None if inline is None else as_internal(inline, "PersistentVolumeSpec"),
        },
        "NodeName": spec["nodeName"],
    }
