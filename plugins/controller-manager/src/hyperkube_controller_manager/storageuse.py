"""Who uses a claim, a volume or a class of volumes' attributes, so that it must not go yet.

Source: k8s.io/kubernetes/pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_controller_manager.podstates import node_of
from hyperkube_machinery import meta

__all__ = ["by_claim", "classes_of_claim", "classes_of_volume", "is_bound", "uses_claim"]

Tree = Mapping[str, Any]


def by_claim(pod: Tree) -> set[str]:
    """An index of pods by the claims that their volumes name, or may have had made for them: `namespace/name`."""
    return {f"{meta.namespace(pod)}/{name}" for name, _ in _claims(pod)}


def uses_claim(pod: Tree, claim: Tree) -> bool:
    """Whether the claim must wait for the pod.

    One that has no node yet will not start: a kubelet starts none whose claim is being deleted. A claim that was made
    for the pod alone does not wait for one that has ended and only waits for its own finalizers.
    """
    if not node_of(pod):
        return False
    for name, is_own in _claims(pod):
        if name == meta.name(claim) and (not is_own or (not _is_shut_down(pod) and _is_for(claim, pod))):
            return True
    return False


def _claims(pod: Tree) -> Iterator[tuple[str, bool]]:
    """Names of claims, and whether each was made for the pod alone."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if source := volume.get("persistentVolumeClaim"):
            yield source.get("claimName") or "", False
        elif volume.get("ephemeral"):
            yield f"{meta.name(pod)}-{volume.get('name')}", True


def _is_for(claim: Tree, pod: Tree) -> bool:
    owner = meta.controller_of(claim)
    return owner is not None and owner.get("uid") == meta.uid(pod)


def _is_shut_down(pod: Tree) -> bool:
    return meta.deletion_timestamp(pod) is not None and meta.metadata(pod).get("deletionGracePeriodSeconds") == 0


def is_bound(volume: Tree) -> bool:
    """Whether a claim has the volume."""
    return (volume.get("status") or {}).get("phase") == "Bound"


def classes_of_claim(claim: Tree) -> set[str]:
    """The VolumeAttributesClasses that a claim has, wants, or is on its way to."""
    status = claim.get("status") or {}
    names = (
        (claim.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return {name for name in names if name}


def classes_of_volume(volume: Tree) -> set[str]:
    name = (volume.get("spec") or {}).get("volumeAttributesClassName")
    return {name} if name else set()
