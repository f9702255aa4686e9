"""On which nodes a daemon set has a pod, and the pods that it makes for them. Computed from values.

Source: k8s.io/kubernetes/pkg/controller/daemon/{daemon_controller,util/daemonset_util}.go.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_controller_manager.controllerrevisions import REVISION_HASH
from hyperkube_controller_manager.podstates import node_of
from hyperkube_controller_manager.taints import NO_EXECUTE, NO_SCHEDULE, taints_of, tolerates
from hyperkube_machinery.meta import annotations_of, labels_of, name
from hyperkube_machinery.selectors import LabelRequirement

__all__ = ["Eligibility", "daemon_template", "is_current", "on_node", "target_node"]

_TEMPLATE_GENERATION = "pod-template-generation"
_GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
_NODE_NAME = "metadata.name"  # the one field of a node that affinity may name

_TOLERATED = (
    ("node.kubernetes.io/not-ready", NO_EXECUTE),
    ("node.kubernetes.io/unreachable", NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/unschedulable", NO_SCHEDULE),
)
_TOLERATED_ON_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", NO_SCHEDULE)

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}

Tree = Mapping[str, Any]


class Eligibility:
    """Tells of nodes whether a daemon set's pods may run there."""

    def __init__(self, daemon_set: Tree) -> None:
        self._spec: Tree = daemon_set["spec"]["template"].get("spec") or {}
        self._tolerations = _tolerations(self._spec)
        self._required = _required_affinity(self._spec)

    def of(self, node: Tree) -> tuple[bool, bool]:
        """Whether a pod should be made on the node, and whether one that is there may go on."""
        if self._spec.get("nodeName") not in (None, "", name(node)) or not self._fits_affinity(node):
            return False, False
        untolerated = {
            taint.get("effect")
            for taint in taints_of(node)
            if not any(tolerates(toleration, taint) for toleration in self._tolerations)
        }
        may_stay = NO_EXECUTE not in untolerated
        return may_stay and NO_SCHEDULE not in untolerated, may_stay

    def _fits_affinity(self, node: Tree) -> bool:
        labels = labels_of(node)
        if not (self._spec.get("nodeSelector") or {}).items() <= labels.items():
            return False
        if self._required is None:
            return True
        terms = self._required.get("nodeSelectorTerms") or ()
        return any(_fits_term(term, labels, name(node)) for term in terms)


def _required_affinity(spec: Tree) -> Tree | None:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return affinity.get("requiredDuringSchedulingIgnoredDuringExecution")


def _fits_term(term: Tree, labels: Mapping[str, str], node_name: str) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return _hold(expressions, labels) and _hold(fields, {_NODE_NAME: node_name})


def _hold(requirements: Iterable[Tree], values: Mapping[str, str]) -> bool:
    return all(
        LabelRequirement(one["key"], _OPERATORS[one["operator"]], tuple(one.get("values") or ())).matches(values)
        for one in requirements
    )


def _tolerations(spec: Tree) -> list[Tree]:
    """The pod's tolerations with those of every daemon: its pods stay where others would be driven off."""
    added = (*_TOLERATED, _TOLERATED_ON_HOST_NETWORK) if spec.get("hostNetwork") else _TOLERATED
    tolerations = list(spec.get("tolerations") or ())
    for key, effect in added:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        same = [index for index, one in enumerate(tolerations) if _tolerates_same(one, toleration)]
        if same:
            tolerations[same[0]] = toleration
        else:
            tolerations.append(toleration)
    return tolerations


def _tolerates_same(one: Tree, other: Tree) -> bool:
    fields = ("key", "operator", "effect", "value")
    return all((one.get(field) or "") == (other.get(field) or "") for field in fields)


def daemon_template(daemon_set: Tree, revision_hash: str) -> dict[str, Any]:
    """The template with what all pods of this revision have; see `on_node`."""
    template = copy.deepcopy(daemon_set["spec"]["template"])
    spec = template.setdefault("spec", {})
    spec["tolerations"] = _tolerations(spec)
    labels = {**labels_of(template), REVISION_HASH: revision_hash}
    if (generation := _template_generation(daemon_set)) is not None:
        labels[_TEMPLATE_GENERATION] = generation
    template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
    return template  # type: ignore[no-any-return]


def on_node(template: Tree, node_name: str) -> dict[str, Any]:
    """The template for one node: its affinity names the node, and the scheduler binds it there.

    What the affinity required before is fulfilled by the node, or there would be no pod for it.
    """
    spec = template["spec"]
    terms = [{"matchFields": [{"key": _NODE_NAME, "operator": "In", "values": [node_name]}]}]
    affinity = spec.get("affinity") or {}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    node_affinity = {**(affinity.get("nodeAffinity") or {}), **required}
    return {**template, "spec": {**spec, "affinity": {**affinity, "nodeAffinity": node_affinity}}}


def target_node(pod: Tree) -> str | None:
    """The node that the pod is on or was made for; None if it says neither."""
    if node_of(pod):
        return node_of(pod)
    required = _required_affinity(pod.get("spec") or {}) or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == _NODE_NAME and field.get("operator") == "In":
                values: list[str] = field.get("values") or []
                return values[0] if len(values) == 1 else None
    return None


def is_current(pod: Tree, daemon_set: Tree, revision_hash: str) -> bool:
    """Whether the pod is of the daemon set's present template."""
    labels = labels_of(pod)
    generation = _template_generation(daemon_set)
    if generation is not None and labels.get(_TEMPLATE_GENERATION) == generation:
        return True
    return bool(revision_hash) and labels.get(REVISION_HASH) == revision_hash


def _template_generation(daemon_set: Tree) -> str | None:
    """The number that templates had before they had hashes."""
    text = annotations_of(daemon_set).get(_GENERATION_ANNOTATION, "")
    return str(int(text)) if text.isascii() and text.removeprefix("-").isdigit() else None
