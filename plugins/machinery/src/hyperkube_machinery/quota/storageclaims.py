"""Claims for volumes, in quotas.

Source: k8s.io/kubernetes/pkg/quota/v1/evaluator/core (persistent_volume_claims.go).
"""

from __future__ import annotations

from collections.abc import Iterable

from hyperkube_machinery import meta
from hyperkube_machinery.quantity import Quantity
from hyperkube_machinery.quota.amounts import ONE
from hyperkube_machinery.quota.evaluator import Evaluator, Requirement, Tree

__all__ = ["StorageClaims"]

_COUNT, _CLAIMS, _STORAGE = "count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage"
_BY_CLASS = ".storageclass.storage.k8s.io/"
_SCOPE = "VolumeAttributesClass"
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_WHOLE = 10**9


class StorageClaims(Evaluator):
    """Claims and the storage that they ask for, in all and by storage class."""

    knows_scopes = True

    def __init__(self) -> None:
        super().__init__("", _CLAIMS)

    def handles(self, operation: str, subresource: str, obj: Tree, old: Tree | None) -> bool:
        if subresource == "status":
            return old is not None and self.has_freed(old, obj)
        return not subresource and operation in ("CREATE", "UPDATE")

    def counted(self, names: Iterable[str]) -> list[str]:
        suffixes = (f"{_BY_CLASS}{_CLAIMS}", f"{_BY_CLASS}{_STORAGE}")
        return sorted({name for name in names if name in (_COUNT, _CLAIMS, _STORAGE) or name.endswith(suffixes)})

    def is_in(self, requirement: Requirement, obj: Tree) -> bool:
        if requirement.scope != _SCOPE:
            return False
        return any(requirement.fits(name) for name in _attributes_classes(obj) or {""})

    def usage(self, obj: Tree) -> dict[str, Quantity]:
        usage = {_CLAIMS: ONE, _COUNT: ONE}
        kind = meta.annotations_of(obj).get(_OLD_CLASS)
        if kind is None:
            kind = (obj.get("spec") or {}).get("storageClassName") or ""
        if kind:
            usage[f"{kind}{_BY_CLASS}{_CLAIMS}"] = ONE
        storage = _storage(obj)
        if storage is not None:
            usage[_STORAGE] = storage
            if kind:
                usage[f"{kind}{_BY_CLASS}{_STORAGE}"] = storage
        return usage

    def has_freed(self, old: Tree, new: Tree) -> bool:
        return _allocated(old) != _allocated(new) or _attributes_classes(old) != _attributes_classes(new)


def _storage(claim: Tree) -> Quantity | None:
    """What a claim asks for or was given, whichever is more, in whole bytes."""
    text = (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
    if text is None:
        return None
    asked, allocated = Quantity.parse(text), _allocated(claim)
    most = allocated if allocated is not None and allocated > asked else asked
    return most if most.nano % _WHOLE == 0 else Quantity(most.value * _WHOLE, most.notation)


def _allocated(claim: Tree) -> Quantity | None:
    text = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
    return None if text is None else Quantity.parse(text)


def _attributes_classes(claim: Tree) -> set[str]:
    """The VolumeAttributesClasses that a claim has, had or is to have."""
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    names = {
        spec.get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    }
    return {name for name in names if name}
