"""The pods of a stateful set, and the claims that go with them: each has a number that it keeps. Computed from values.

Source: k8s.io/kubernetes/pkg/controller/statefulset/stateful_set_utils.go.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from hyperkube_controller_manager.controllerrevisions import REVISION_HASH
from hyperkube_controller_manager.templates import controller_reference, pod_from
from hyperkube_machinery.builtin import STATEFUL_SETS
from hyperkube_machinery.meta import labels_of, name, namespace, owner_references, uid

__all__ = [
    "claims_for",
    "first_ordinal",
    "has_identity",
    "has_storage",
    "has_stranger",
    "is_of",
    "kept_owners",
    "ordinal_of",
    "pod_of",
    "with_identity",
]

Tree = Mapping[str, Any]

_POD_NAME = "statefulset.kubernetes.io/pod-name"
_POD_INDEX = "apps.kubernetes.io/pod-index"


def first_ordinal(stateful_set: Tree) -> int:
    return (stateful_set["spec"].get("ordinals") or {}).get("start") or 0


def ordinal_of(pod_name: str) -> tuple[str, int]:
    """The name of the set and the number in a pod's name; -1 where there is none."""
    parent, dash, digits = pod_name.rpartition("-")
    if not dash or not digits.isascii() or not digits.isdigit() or int(digits) >= 1 << 31:
        return "", -1
    return parent, int(digits)


def is_of(pod: Tree, stateful_set: Tree) -> bool:
    """Whether the pod's name is one that the set gives."""
    parent, ordinal = ordinal_of(name(pod))
    return ordinal >= 0 and parent == name(stateful_set)


def pod_of(stateful_set: Tree, template: Tree, revision: str, ordinal: int) -> dict[str, Any]:
    """The new pod of one number; `revision` is the name of the one that holds the template."""
    reference = controller_reference(stateful_set, STATEFUL_SETS.api_version, STATEFUL_SETS.kind)
    pod = pod_from(template, stateful_set, reference)
    meta = pod["metadata"]
    meta.update(name=f"{name(stateful_set)}-{ordinal}", namespace=namespace(stateful_set))
    meta["labels"] = {**labels_of(pod), REVISION_HASH: revision}
    pod["spec"]["hostname"] = meta["name"]
    pod["spec"]["subdomain"] = stateful_set["spec"].get("serviceName") or ""
    return with_identity(stateful_set, pod)


def with_identity(stateful_set: Tree, pod: Tree) -> dict[str, Any]:
    """The pod with the labels and volumes that its number gives it."""
    _, ordinal = ordinal_of(name(pod))
    labels = {**labels_of(pod), _POD_NAME: name(pod), _POD_INDEX: str(ordinal)}
    claims = claims_for(stateful_set, ordinal)
    volumes = [
        {"name": volume, "persistentVolumeClaim": {"claimName": name(claim)}} for volume, claim in claims.items()
    ]
    volumes += [one for one in pod["spec"].get("volumes") or () if one["name"] not in claims]
    spec = {**pod["spec"], **({"volumes": volumes} if volumes else {})}
    return {**pod, "metadata": {**pod["metadata"], "labels": labels}, "spec": spec}


def has_identity(stateful_set: Tree, pod: Tree) -> bool:
    return is_of(pod, stateful_set) and labels_of(pod).get(_POD_NAME) == name(pod)


def has_storage(stateful_set: Tree, pod: Tree) -> bool:
    """Whether the pod uses the claims of its number."""
    volumes = {one["name"]: one for one in pod["spec"].get("volumes") or ()}
    return all(
        (volumes.get(volume, {}).get("persistentVolumeClaim") or {}).get("claimName") == name(claim)
        for volume, claim in claims_for(stateful_set, ordinal_of(name(pod))[1]).items()
    )


def claims_for(stateful_set: Tree, ordinal: int) -> dict[str, dict[str, Any]]:
    """The claims of one number, by the volumes that they are for."""
    claims: dict[str, dict[str, Any]] = {}
    selected = (stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        claim = {key: copy.deepcopy(value) for key, value in template.items() if key != "status"}
        claim_name = f"{name(template)}-{name(stateful_set)}-{ordinal}"
        labels = {**labels_of(template), **selected}
        claim["metadata"] = {
            **template["metadata"],
            "name": claim_name,
            "namespace": namespace(stateful_set),
            "labels": labels,
        }
        claims[name(template)] = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim}
    return claims


# Who owns claims, and with whom they go


def _policy(stateful_set: Tree) -> tuple[bool, bool]:
    """Whether claims go with the set, and whether they go with pods that it is scaled down by."""
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenDeleted") == "Delete", policy.get("whenScaled") == "Delete"


def _refers_to(reference: Tree, obj: Tree, api_version: str, kind: str) -> bool:
    wanted = (api_version, kind, name(obj))
    return (reference.get("apiVersion"), reference.get("kind"), reference.get("name")) == wanted


def _is_ours(reference: Tree, stateful_set: Tree, pod: Tree) -> bool:
    of_set = _refers_to(reference, stateful_set, STATEFUL_SETS.api_version, STATEFUL_SETS.kind)
    return of_set or _refers_to(reference, pod, "v1", "Pod")


def has_stranger(claim: Tree, stateful_set: Tree, pod: Tree) -> bool:
    """Whether somebody else manages the claim, so that it is left to them."""
    if not any(_policy(stateful_set)):
        return False
    for reference in owner_references(claim):
        if _is_ours(reference, stateful_set, pod):
            if reference.get("uid") not in (uid(stateful_set), uid(pod)):
                return True
        elif reference.get("controller"):
            return True
    return False


def kept_owners(claim: Tree, stateful_set: Tree, pod: Tree, *, is_condemned: bool) -> list[Tree] | None:
    """The owners that the claim should have; None if it has them. `is_condemned`: whether the pod is one too many."""
    references = list(owner_references(claim))
    ours = [one for one in references if _is_ours(one, stateful_set, pod)]
    if any(one.get("uid") not in (uid(stateful_set), uid(pod)) for one in ours):
        return None  # of an earlier set or pod of the name, with which the claim will go
    others = [one for one in references if one not in ours]
    with_set, with_pod = _policy(stateful_set)
    wanted: list[Tree] = []
    if has_stranger(claim, stateful_set, pod):
        if not ours:
            return None
    elif with_pod and is_condemned:
        wanted = [controller_reference(pod, "v1", "Pod")]
    elif with_set:
        wanted = [controller_reference(stateful_set, STATEFUL_SETS.api_version, STATEFUL_SETS.kind)]
    held = {(one.get("uid"), bool(one.get("controller"))) for one in ours}
    return None if held == {(one["uid"], True) for one in wanted} else [*others, *wanted]
