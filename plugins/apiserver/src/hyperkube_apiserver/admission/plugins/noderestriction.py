"""NodeRestriction: what a kubelet may write, beside what it may be authorized to.

Source: k8s.io/kubernetes/plugin/pkg/admission/noderestriction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hyperkube_apiserver.admission.certificaterequests import BadCertificateRequest, read_request
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import CREATE, DELETE, UPDATE, Plugin, Waiting
from hyperkube_apiserver.admission.plugins.audiences import check_audience
from hyperkube_apiserver.admission.plugins.nodelabels import forbidden_labels
from hyperkube_apiserver.admission.podreferences import referenced_resource
from hyperkube_apiserver.authz.forbidden import quote
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_apiserver.registry.differences import difference
from hyperkube_apiserver.registry.podspec.annotations import MIRROR
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.identity import NODES
from hyperkube_machinery.resources import Resource

__all__ = ["NodeRestriction"]

_PREFIX = "system:node:"
_LEASES = "kube-node-lease"
_KUBELET_SIGNERS = frozenset(("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"))

Tree = dict[str, Any]


class NodeRestriction(Plugin):
    """A kubelet writes its own node, the pods that are bound to it, and what belongs to these."""

    operations = CREATE | UPDATE | DELETE

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """The resources of kubelets, with whatever is below them."""
        return operation in self.operations and resource.qualified in _CHECKS

    def admit(self, attributes: Attributes) -> Waiting:
        """Raise 403 where a kubelet goes too far; say nothing to anybody else."""
        identity = attributes.identity
        if not identity.name.startswith(_PREFIX) or NODES not in identity.groups:
            return None
        node = identity.name[len(_PREFIX) :]
        if not node:
            raise forbidden(attributes, f"could not determine node from user {quote(identity.name)}")
        return _CHECKS[attributes.kind.resource.qualified](self, node, attributes)

    def _check_pod(self, node: str, attributes: Attributes) -> None:
        match attributes.subresource:
            case "":
                self._check_whole_pod(node, attributes)
            case "status":
                self._check_pod_status(node, attributes)
            case "eviction":
                self._check_eviction(node, attributes)
            case other:
                why = f"unexpected pod subresource {quote(other)}, only 'status' and 'eviction' are allowed"
                raise forbidden(attributes, why)

    def _check_whole_pod(self, node: str, attributes: Attributes) -> None:
        if attributes.operation is Operation.CREATE:
            self._check_new_pod(node, attributes)
        elif attributes.operation is Operation.DELETE:
            if self._node_of(attributes.name, attributes) != node:
                why = f"node {quote(node)} can only delete pods with spec.nodeName set to itself"
                raise forbidden(attributes, why)
        else:
            why = f'unexpected operation "{attributes.operation}", node {quote(node)} can only create and delete '
            raise forbidden(attributes, why + "mirror pods")

    def _node_of(self, pod: str, attributes: Attributes) -> str:
        """The node of an existing pod."""
        spec = self.cluster.get("pods", pod, attributes.namespace).get("spec") or {}
        return str(spec.get("nodeName") or "")

    def _check_new_pod(self, node: str, attributes: Attributes) -> None:
        pod = _object(attributes)
        spec, called = pod.get("spec") or {}, quote(node)
        if MIRROR not in meta.annotations_of(pod):
            why = f'pod does not have "{MIRROR}" annotation, node {called} can only create mirror pods'
            raise forbidden(attributes, why)
        if spec.get("nodeName") != node:
            raise forbidden(attributes, f"node {called} can only create pods with spec.nodeName set to itself")
        self._check_owner(node, attributes)
        try:
            referenced = referenced_resource(spec)
        except ValueError as exc:
            raise forbidden(attributes, f"error checking mirror pod for API references: {exc}") from exc
        if referenced:
            raise forbidden(attributes, f"node {called} can not create pods that reference {referenced}")

    def _check_owner(self, node: str, attributes: Attributes) -> None:
        owners, called = meta.owner_references(_object(attributes)), quote(node)
        may_only = f"node {called} can only create pods with"
        if len(owners) > 1:
            raise forbidden(attributes, f"{may_only} a single owner reference set to itself")
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise forbidden(attributes, f"{may_only} an owner reference set to itself")
        if not owner.get("controller"):
            raise forbidden(attributes, f"{may_only} a controller owner reference set to itself")
        if owner.get("blockOwnerDeletion"):
            raise forbidden(attributes, f"node {called} must not set blockOwnerDeletion on an owner reference")
        given, uid = owner.get("uid") or "", meta.uid(self.cluster.get("nodes", node))
        if given != uid:
            raise forbidden(attributes, f"node {node} UID mismatch: expected {given} got {uid}")

    def _check_pod_status(self, node: str, attributes: Attributes) -> None:
        _expect(attributes, Operation.UPDATE)
        pod, old, called = _object(attributes), attributes.old or {}, quote(node)
        if (old.get("spec") or {}).get("nodeName") != node:
            why = f"node {called} can only update pod status for pods with spec.nodeName set to itself"
            raise forbidden(attributes, why)
        if meta.labels_of(pod) != meta.labels_of(old):
            raise forbidden(attributes, f"node {called} cannot update labels through pod status")
        status, before = pod.get("status") or {}, old.get("status") or {}
        if _essence(status.get("resourceClaimStatuses")) != _essence(before.get("resourceClaimStatuses")):
            raise forbidden(attributes, f"node {called} cannot update resource claim statues")
        if status.get("extendedResourceClaimStatus") != before.get("extendedResourceClaimStatus"):
            raise forbidden(attributes, f"node {called} cannot update extended resource claim status")

    def _check_eviction(self, node: str, attributes: Attributes) -> None:
        if attributes.operation is not Operation.CREATE:
            raise forbidden(attributes, f"unexpected operation {attributes.operation}")
        name = attributes.name or meta.name(_object(attributes))
        if not name:
            raise forbidden(attributes, "could not determine pod from request data")
        if self._node_of(name, attributes) != node:
            raise forbidden(attributes, f"node {node} can only evict pods with spec.nodeName set to itself")

    def _check_node(self, node: str, attributes: Attributes) -> None:
        called = quote(node)
        if attributes.name != node:
            raise forbidden(attributes, f"node {called} is not allowed to modify node {quote(attributes.name)}")
        if attributes.operation is Operation.DELETE:
            return
        new, old = _object(attributes), attributes.old or {}
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        labels = forbidden_labels(meta.labels_of(new), meta.labels_of(old))
        if attributes.operation is Operation.CREATE:
            if spec.get("configSource") is not None:
                why = f"node {called} is not allowed to create pods with a non-nil configSource"
                raise forbidden(attributes, why)
            if labels:
                why = f"node {called} is not allowed to set the following labels: {', '.join(labels)}"
                raise forbidden(attributes, why)
            return
        if spec.get("configSource") is not None and spec["configSource"] != before.get("configSource"):
            why = f"node {called} is not allowed to update configSource to a new non-nil configSource"
            raise forbidden(attributes, why)
        if _essence(spec.get("taints")) != _essence(before.get("taints")):
            raise forbidden(attributes, f"node {called} is not allowed to modify taints")
        if _essence(meta.owner_references(new)) != _essence(meta.owner_references(old)):
            raise forbidden(attributes, f"node {called} is not allowed to modify ownerReferences")
        if labels:
            raise forbidden(attributes, f"is not allowed to modify labels: {', '.join(labels)}")

    def _check_claim(self, node: str, attributes: Attributes) -> None:
        if attributes.subresource != "status":
            raise forbidden(attributes, "may only update PVC status")
        _expect(attributes, Operation.UPDATE)
        old, new = (_beside_resizing(one or {}) for one in (attributes.old, attributes.obj))
        if _essence(old) != _essence(new):
            why = f"node {quote(node)} is not allowed to update fields other than status.quantity and status.conditions"
            raise forbidden(attributes, f"{why}: {difference(old, new, 'PersistentVolumeClaim')}")

    def _check_token(self, node: str, attributes: Attributes) -> Waiting:
        """A token for a pod of the node, and for an audience that the pod has a volume for."""
        if attributes.operation is not Operation.CREATE or attributes.subresource != "token":
            return None
        spec = _object(attributes).get("spec") or {}
        bound = spec.get("boundObjectRef") or {}
        if (bound.get("apiVersion"), bound.get("kind")) != ("v1", "Pod") or not bound.get("name"):
            raise forbidden(attributes, "node requested token not bound to a pod")
        if not (uid := bound.get("uid")):
            raise forbidden(attributes, "node requested token with a pod binding without a uid")
        pod = self.cluster.get("pods", bound["name"], attributes.namespace)
        if uid != meta.uid(pod):
            why = f"the UID in the bound object reference ({uid}) does not match the UID in record. The object might "
            raise forbidden(attributes, why + "have been deleted and then recreated")
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise forbidden(attributes, "node requested token bound to a pod scheduled on a different node")
        return check_audience(self.cluster, attributes, spec.get("audiences") or (), pod)

    def _check_lease(self, node: str, attributes: Attributes) -> None:
        if attributes.namespace != _LEASES:
            raise forbidden(attributes, f'can only access leases in the "{_LEASES}" system namespace')
        if _name_of(attributes) != node:
            raise forbidden(attributes, "can only access node lease with the same name as the requesting node")

    def _check_csi_node(self, node: str, attributes: Attributes) -> None:
        if _name_of(attributes) != node:
            raise forbidden(attributes, "can only access CSINode with the same name as the requesting node")

    def _check_slice(self, node: str, attributes: Attributes) -> None:
        if attributes.operation is Operation.UPDATE:
            return
        creating = attributes.operation is Operation.CREATE
        spec = ((attributes.obj if creating else attributes.old) or {}).get("spec") or {}
        if spec.get("nodeName") != node:
            verb = "create" if creating else "delete"
            raise forbidden(attributes, f"can only {verb} ResourceSlice with the same NodeName as the requesting node")

    def _check_certificate_request(self, node: str, attributes: Attributes) -> None:
        if attributes.operation is not Operation.CREATE:
            return
        spec = _object(attributes).get("spec") or {}
        if spec.get("signerName") not in _KUBELET_SIGNERS:
            return
        try:
            request = read_request(spec.get("request") or "")
        except BadCertificateRequest as exc:
            raise forbidden(attributes, f"unable to parse csr: {exc}") from exc
        if request.common_name != f"{_PREFIX}{node}":
            raise forbidden(attributes, f"can only create a node CSR with CN={_PREFIX}{node}")


_CHECKS: Mapping[str, Callable[[NodeRestriction, str, Attributes], Waiting]] = {
    "pods": NodeRestriction._check_pod,
    "nodes": NodeRestriction._check_node,
    "persistentvolumeclaims": NodeRestriction._check_claim,
    "serviceaccounts": NodeRestriction._check_token,
    "leases.coordination.k8s.io": NodeRestriction._check_lease,
    "csinodes.storage.k8s.io": NodeRestriction._check_csi_node,
    "resourceslices.resource.k8s.io": NodeRestriction._check_slice,
    "certificatesigningrequests.certificates.k8s.io": NodeRestriction._check_certificate_request,
}


def _object(attributes: Attributes) -> Tree:
    assert attributes.obj is not None
    return attributes.obj


def _name_of(attributes: Attributes) -> str:
    """The name that a new object says it has, or that stands in the path."""
    return meta.name(_object(attributes)) if attributes.operation is Operation.CREATE else attributes.name


def _expect(attributes: Attributes, operation: Operation) -> None:
    if attributes.operation is not operation:
        raise _unexpected(attributes)


def _unexpected(attributes: Attributes) -> APIError:
    return forbidden(attributes, f'unexpected operation "{attributes.operation}"')


def _beside_resizing(claim: Tree) -> Tree:
    """A claim without what kubelets tell of its size, and without what differs between any two versions of it."""
    metadata = {
        name: value for name, value in meta.metadata(claim).items() if name not in ("resourceVersion", "managedFields")
    }
    told = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")
    status = {name: value for name, value in (claim.get("status") or {}).items() if name not in told}
    return {**claim, "metadata": metadata, "status": status}


def _essence(value: Any) -> Any:
    """A value without what says nothing, which stands in some clients' objects and not in others'."""
    if isinstance(value, dict):
        said = {name: _essence(inner) for name, inner in value.items()}
        return {name: inner for name, inner in said.items() if inner not in (None, "", {}, [])}
    if isinstance(value, list | tuple):
        return [_essence(inner) for inner in value]
    return [] if value is None else value
