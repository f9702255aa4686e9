"""What the API server warns of in persistent volumes and claims.

Source: k8s.io/kubernetes/pkg/api/{persistentvolume,persistentvolumeclaim}.
"""

from __future__ import annotations

from hyperkube_apiserver.registry.nodelabels import node_term_warnings
from hyperkube_apiserver.registry.podspec.claims import claim_warnings
from hyperkube_apiserver.registry.strategy import Tree
from hyperkube_machinery import meta

__all__ = ["persistent_claim_warnings", "persistent_volume_warnings"]

_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_OLD_ANNOTATIONS = {
    _STORAGE_CLASS: 'deprecated since v1.8; use "storageClassName" attribute instead',
    "volume.beta.kubernetes.io/mount-options": 'deprecated since v1.31; use "mountOptions" attribute instead',
}
# By the names that the texts have for them, in their order.
_OLD_SOURCES = {
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "storageOS": ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}


def persistent_volume_warnings(obj: Tree) -> list[str]:
    spec, annotations = obj.get("spec") or {}, meta.annotations_of(obj)
    texts = [f"metadata.annotations[{key}]: {text}" for key, text in _OLD_ANNOTATIONS.items() if key in annotations]
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        texts.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )
    path = "spec.nodeAffinity.required.nodeSelectorTerms"
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for index, term in enumerate(terms):
        texts += node_term_warnings(term, f"{path}[{index}]", check_values=False)
    return texts + [
        f"spec.{shown}: {text}" for shown, (name, text) in _OLD_SOURCES.items() if spec.get(name) is not None
    ]


def persistent_claim_warnings(obj: Tree) -> list[str]:
    texts = []
    if _STORAGE_CLASS in meta.annotations_of(obj):
        texts.append(f"metadata.annotations[{_STORAGE_CLASS}]: {_OLD_ANNOTATIONS[_STORAGE_CLASS]}")
    return texts + claim_warnings(obj.get("spec") or {}, "spec")
