"""Claims of persistent volumes.

Source: k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim, ValidatePersistentVolumeClaim.
"""

from __future__ import annotations

from hyperkube_apiserver.registry.amounts import is_native_resource
from hyperkube_apiserver.registry.core.volumewarnings import persistent_claim_warnings
from hyperkube_apiserver.registry.differences import difference
from hyperkube_apiserver.registry.fields import qualified
from hyperkube_apiserver.registry.meta import immutable
from hyperkube_apiserver.registry.podspec.claims import validate_claim_spec
from hyperkube_apiserver.registry.podspec.defaults import default_claim_spec, fill
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext, keep
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quantity import Quantity

__all__ = ["PersistentVolumeClaims"]

_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_RESIZE_STATES = (
    *("ControllerResizeInProgress", "ControllerResizeInfeasible"),
    *("NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"),
)


class PersistentVolumeClaims(Strategy):
    """A wish for storage: but for its size, nothing changes once it is made."""

    answers_deleted_object = True
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        fill(obj.setdefault("status", {}), phase="Pending")
        default_claim_spec(obj.setdefault("spec", {}))

    def initial_status(self, obj: Tree) -> Tree:
        return {"phase": "Pending"}

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        super().prepare_for_create(obj, context)
        _drop_foreign_source(obj["spec"])
        _drop_unknown_source(obj["spec"])
        _mirror_sources(obj["spec"])

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        super().prepare_for_update(obj, old, context)
        if not context.subresource:
            before = old.get("spec") or {}
            if before.get("dataSourceRef") is None:
                _drop_foreign_source(obj["spec"])
            if before.get("dataSource") is None and before.get("dataSourceRef") is None:
                _drop_unknown_source(obj["spec"])
            _mirror_sources(obj["spec"])

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return validate_claim_spec(obj.get("spec") or {}, "spec")

    def completed_by_reading(self, obj: Tree) -> bool:
        return True  # the phase

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        status = old.get("status") or {}
        errors = self.validate_object(obj)
        class_now, class_then = (meta.annotations_of(one).get(_STORAGE_CLASS, "") for one in (obj, old))
        allowed, kept = dict(spec), dict(before)
        if not before.get("volumeName") and "volumeName" in spec:
            kept["volumeName"] = spec["volumeName"]
        if class_then and not class_now and before.get("storageClassName") is None:
            upgraded = spec.get("storageClassName") == class_then
        else:
            upgraded = before.get("storageClassName") is None and not class_then
            errors += immutable(f"metadata.annotations.{_STORAGE_CLASS}", class_now, class_then)
        if upgraded:
            keep(allowed, before, "storageClassName")
        bound = (obj.get("status") or {}).get("phase") == "Bound"
        if bound:
            keep(allowed, before, "volumeAttributesClassName")
            if (spec.get("resources") or {}).get("requests"):
                requests = {**spec["resources"]["requests"]}
                keep(requests, ((before.get("resources") or {}).get("requests")) or {}, "storage")
                allowed["resources"] = {**spec["resources"], "requests": requests}
        if allowed != kept:
            text = (
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
                f"claims\n{difference(kept, allowed, 'PersistentVolumeClaimSpec')}"
            )
            errors.append(FieldError.forbidden("spec", text))
        errors += _validate_shrinking(spec, before, (status.get("capacity") or {}).get("storage"))
        errors += immutable("volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
        return errors + _validate_attributes_change(spec, before, status)

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return _validate_status(obj.get("status") or {})

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        return persistent_claim_warnings(obj)


def _validate_attributes_change(spec: Tree, before: Tree, status: Tree) -> list[FieldError]:
    field = "volumeAttributesClassName"
    current = status.get("currentVolumeAttributesClassName")
    if current is None or spec.get(field) == before.get(field) or spec.get(field):
        return []
    what = "nil" if spec.get(field) is None else "empty string"
    text = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
    return [FieldError.forbidden(f"spec.{field}", text)]


def _validate_shrinking(spec: Tree, before: Tree, capacity: str | None) -> list[FieldError]:
    new, old = (
        Quantity.parse(((one.get("resources") or {}).get("requests") or {}).get("storage") or "0")
        for one in (spec, before)
    )
    if old <= new or Quantity.parse(capacity or "0") < new:
        return []
    return [FieldError.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")]


def _drop_foreign_source(spec: Tree) -> None:
    """Sources of other namespaces are a feature, CrossNamespaceVolumeDataSource, that is off unless a gate says so."""
    if (spec.get("dataSourceRef") or {}).get("namespace"):
        del spec["dataSourceRef"]


def _drop_unknown_source(spec: Tree) -> None:
    """The old field takes claims and snapshots alone; whatever else it names was always dropped."""
    source = spec.get("dataSource")
    if source is None or spec.get("dataSourceRef") is not None:
        return
    group, kind = source.get("apiGroup") or "", source.get("kind") or ""
    if (group, kind) not in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")):
        del spec["dataSource"]


def _mirror_sources(spec: Tree) -> None:
    """dataSource and dataSourceRef say the same; whichever is given gives the other."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {field: value for field, value in reference.items() if field != "namespace"}


def _validate_status(status: Tree) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, text in (status.get("capacity") or {}).items():
        errors += _validate_basic(text, f"status.capacity[{name}]")
    path = "status.allocatedResourceStatuses"
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        errors += _validate_resource_key(name, path)
        if state not in _RESIZE_STATES:
            errors.append(FieldError.not_supported(path, name, _RESIZE_STATES))
    path = "status.allocatedResources"
    for name, text in (status.get("allocatedResources") or {}).items():
        if wrong := _validate_resource_key(name, path):
            errors += wrong
            continue
        at = f"{path}[{name}]"
        errors += _validate_basic(text, at)
    return errors


def _validate_basic(text: str, path: str) -> list[FieldError]:
    value = Quantity.parse(text).value
    return [FieldError.invalid(path, value, "must be a valid resource quantity")] if value < 0 else []


def _validate_resource_key(name: str, path: str) -> list[FieldError]:
    errors = qualified(name, path)
    if not errors and is_native_resource(name) and name != "storage":
        errors = [FieldError.not_supported(path, name, ("storage",))]
    return errors
