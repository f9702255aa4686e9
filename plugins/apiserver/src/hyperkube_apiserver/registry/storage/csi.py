"""What CSI drivers tell of themselves, of nodes, and of how much storage there is.

Source: k8s.io/kubernetes/pkg/registry/storage/{csidriver,csinode,csistoragecapacity}, pkg/apis/storage/validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_apiserver.registry.fields import dns_subdomain, nonnegative, one_of, qualified, validate_label_selector
from hyperkube_apiserver.registry.meta import IMMUTABLE, immutable
from hyperkube_apiserver.registry.nodelabels import OLD_NODE_LABELS, node_term_warnings
from hyperkube_apiserver.registry.podspec.sources import validate_csi_driver_name
from hyperkube_apiserver.registry.storage.texts import set_absent
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext
from hyperkube_apiserver.registry.workloads import shown_selector
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quantity import Quantity

__all__ = ["CSIDrivers", "CSINodes", "CSIStorageCapacities"]

_NODE_ID_BYTES = 256
_SHORTEST_TOKEN_SECONDS = 600
_LONGEST_TOKEN_SECONDS = 1 << 32
_SHORTEST_PERIOD_SECONDS = 10


class CSIDrivers(Strategy):
    allows_unconditional_update = False
    answers_deleted_object = True

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        set_absent(spec, attachRequired=True, podInfoOnMount=False, storageCapacity=False, requiresRepublish=False)
        set_absent(spec, fsGroupPolicy="ReadWriteOnceWithFSType", seLinuxMount=False)
        spec["volumeLifecycleModes"] = spec.get("volumeLifecycleModes") or ["Persistent"]
        for request in spec.get("tokenRequests") or ():
            set_absent(request, audience="")

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
        set_absent(obj, storageClassName="")

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
