"""What kubelets may do: little, and most of it only with what their own node has to do with.

A node may read the secrets, config maps, claims and volumes of the pods on it, ask for tokens of their accounts, and
keep its own Node, Lease and CSINode. What a write may say is checked by the admission plugin NodeRestriction.
Source: k8s.io/kubernetes/plugin/pkg/auth/authorizer/node, k8s.io/kubernetes/pkg/auth/nodeidentifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hyperkube_apiserver.authz.authorizers import ALLOWED, DENIED, Decision, Rules
from hyperkube_apiserver.authz.forbidden import quote
from hyperkube_apiserver.authz.rules import Table
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.identity import NODES
from hyperkube_machinery.selectors import parse_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hyperkube_apiserver.authz.attributes import Attributes
    from hyperkube_apiserver.authz.rules import Rule
    from hyperkube_machinery.identity import Identity

__all__ = ["NodeAuthorizer", "Relations"]

_PREFIX = "system:node:"
_LEASES = "kube-node-lease"
_NO_RULES = Rules()
_UNLISTED = Rules(incomplete=True, errors=("node authorizer does not support user rule resolution",))
_KEPT_VERBS = frozenset(("get", "create", "update", "patch", "delete"))
_READ_VERBS = ("get", "list", "watch")


class Relations(Protocol):
    """Knows what has to do with which node."""

    def related(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether `node` has a pod that the object belongs to, or is named by it; `resource` is plural."""


class NodeAuthorizer:
    """Allows what kubelets need, each to its own node; has no opinion on anybody else."""

    def __init__(self, relations: Relations, rules: Iterable[Rule]) -> None:
        """`rules` say what every node may do with resources that are not divided among them."""
        self._relations = relations
        self._table = Table(rules)
        self._divided: dict[tuple[str, str], Callable[[str, Attributes], Decision]] = {
            ("", "secrets"): self._read,
            ("", "configmaps"): self._read,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get,
            ("resource.k8s.io", "resourceclaims"): self._get,
            ("storage.k8s.io", "volumeattachments"): self._get,
            ("", "serviceaccounts"): self._account,
            ("coordination.k8s.io", "leases"): _lease,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("", "nodes"): _node,
            ("", "pods"): self._pod,
            # Certificates for pods are off by default, and with them what nodes may do about them.
            ("certificates.k8s.io", "podcertificaterequests"): _nothing,
        }

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """Whether `identity` is a node that may do what `info` says."""
        if not identity.name.startswith(_PREFIX) or NODES not in identity.groups:
            return DENIED
        node = identity.name[len(_PREFIX) :]
        if not node:
            return Decision(False, f"unknown node for user {quote(identity.name)}")
        if not info.is_resource:
            return ALLOWED if self._table.allows_path(info.verb, info.path) else DENIED
        divided = self._divided.get((info.group, info.resource))
        if divided is not None:
            return divided(node, info)
        allowed = self._table.allows(info.verb, info.group, info.resource, info.subresource, info.name)
        return ALLOWED if allowed else DENIED

    def explain(self, identity: Identity, info: Attributes) -> Decision:
        """There is no more to say than `authorize` does."""
        return self.authorize(identity, info)

    def rules_for(self, identity: Identity, namespace: str) -> Rules:
        """Nothing, and for nodes the word that there is more."""
        is_node = identity.name.startswith(_PREFIX) and NODES in identity.groups
        return _UNLISTED if is_node else _NO_RULES

    def _related(self, node: str, info: Attributes) -> Decision:
        if not info.name:
            return Decision(False, "No Object name found")
        return self._decide(node, info)

    def _decide(self, node: str, info: Attributes) -> Decision:
        if self._relations.related(node, info.resource, info.namespace, info.name):
            return ALLOWED
        return Decision(False, f"no relationship found between node '{node}' and this object")

    def _get(self, node: str, info: Attributes) -> Decision:
        if info.verb != "get":
            return Decision(False, "can only get individual resources of this type")
        if info.subresource:
            return Decision(False, "cannot get subresource")
        return self._related(node, info)

    def _read(self, node: str, info: Attributes) -> Decision:
        """Reading of what may also be watched, by its name."""
        if info.verb not in _READ_VERBS:
            return Decision(False, "can only read resources of this type")
        if info.subresource:
            return Decision(False, "cannot read subresource")
        if not info.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return self._related(node, info)

    def _claim(self, node: str, info: Attributes) -> Decision:
        if info.subresource != "status":
            return self._get(node, info)
        if info.verb not in ("update", "patch"):
            return Decision(False, "can only get/update/patch this type")
        return self._related(node, info)

    def _account(self, node: str, info: Attributes) -> Decision:
        if info.verb == "get" and not info.subresource:
            return self._read(node, info)
        if info.verb != "create" or not info.name:
            return Decision(False, "can only create tokens for individual service accounts")
        if info.subresource != "token":
            return Decision(False, "can only create token subresource of serviceaccount")
        return self._decide(node, info)

    def _slice(self, node: str, info: Attributes) -> Decision:
        if info.subresource:
            return Decision(False, "cannot authorize ResourceSlice subresources")
        match info.verb:
            case "create":
                return ALLOWED
            case "get" | "update" | "patch" | "delete":
                return self._related(node, info)
            case "watch" | "list" | "deletecollection":
                if _selects(info, "spec.nodeName", node):
                    return ALLOWED
                why = "can only list/watch/deletecollection resourceslices with nodeName field selector"
                return Decision(False, why)
        return Decision(
            False,
            "only the following verbs are allowed for a ResourceSlice: "
            "get, watch, list, create, update, patch, delete, deletecollection",
        )

    def _pod(self, node: str, info: Attributes) -> Decision:
        match info.subresource, info.verb:
            case "", "get":
                return self._get(node, info)
            case "", "list" | "watch":
                if _selects(info, "spec.nodeName", node):
                    return ALLOWED
                if info.name:
                    return self._related(node, info)
                return Decision(False, "can only list/watch pods with spec.nodeName field selector")
            case ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create"):
                return ALLOWED
        return DENIED


def _selects(info: Attributes, field: str, value: str) -> bool:
    """Whether a list or watch is narrowed to objects whose field has that value."""
    try:
        selector = parse_fields(info.field_selector)
    except APIError:  # the handler refuses it
        return False
    return any((one.field, one.operator, one.value) == (field, "=", value) for one in selector.requirements)


def _nothing(node: str, info: Attributes) -> Decision:
    return DENIED


def _lease(node: str, info: Attributes) -> Decision:
    if info.verb not in _KEPT_VERBS:
        return Decision(False, "can only get, create, update, patch, or delete a node lease")
    if info.namespace != _LEASES:
        return Decision(False, f"can only access leases in the {quote(_LEASES)} system namespace")
    # The name of what is created is not known here.
    if info.verb != "create" and info.name != node:
        return Decision(False, "can only access node lease with the same name as the requesting node")
    return ALLOWED


def _csi_node(node: str, info: Attributes) -> Decision:
    if info.verb not in _KEPT_VERBS:
        return Decision(False, "can only get, create, update, patch, or delete a CSINode")
    if info.subresource:
        return Decision(False, "cannot authorize CSINode subresources")
    if info.verb != "create" and info.name != node:
        return Decision(False, "can only access CSINode with the same name as the requesting node")
    return ALLOWED


def _node(node: str, info: Attributes) -> Decision:
    match info.subresource, info.verb:
        case ("", "create" | "update" | "patch") | ("status", "update" | "patch"):
            return ALLOWED
        case "", "get" | "list" | "watch":
            if info.name == node:
                return ALLOWED
            if not info.name:
                return Decision(False, f"node '{node}' cannot read all nodes, only its own Node object")
            return Decision(False, f"node '{node}' cannot read '{info.name}', only its own Node object")
    return DENIED
