"""Attachments of volumes to nodes.

Source: k8s.io/kubernetes/pkg/registry/storage/volumeattachment, pkg/apis/storage/validation.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.registry.core.volumes import validate_sources
from hyperkube_apiserver.registry.fields import dns_subdomain
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.meta import immutable
from hyperkube_apiserver.registry.podspec.claims import validate_access_modes
from hyperkube_apiserver.registry.podspec.defaults import default_resource_list, default_volume_source
from hyperkube_apiserver.registry.podspec.sources import validate_csi_driver_name
from hyperkube_apiserver.registry.storage.texts import MOST_BYTES, set_absent, size
from hyperkube_apiserver.registry.strategy import Strategy, Tree, reset_meta_for_status
from hyperkube_machinery.errors import FieldError

__all__ = ["VolumeAttachments"]

_ERROR_BYTES = 1024
_INT32_MAX = (1 << 31) - 1


class VolumeAttachments(Strategy):
    allows_unconditional_update = False
    answers_deleted_object = True
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        spec, status = obj.setdefault("spec", {}), obj.setdefault("status", {})
        set_absent(status, attached=False)
        set_absent(spec, attacher="", source={}, nodeName="")
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
        if size(status.get("attachmentMetadata") or {}) > MOST_BYTES:
            errors.append(FieldError.too_long("status.attachmentMetadata", MOST_BYTES))
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
        errors.append(FieldError.too_long(f"{path}.message", MOST_BYTES))  # not the limit, but upstream's text
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
