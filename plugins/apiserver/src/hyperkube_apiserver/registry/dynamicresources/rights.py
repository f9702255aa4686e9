"""Who may say what of claims to devices: admin access, what is allocated, and what drivers report.

Source: k8s.io/kubernetes/pkg/registry/resource (utils).
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from hyperkube_apiserver.authn import Identity, split_service_account
from hyperkube_apiserver.authz import Authorizer, PromptAuthorizer, ResourceAttributes, deciding, forbidden
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.dynamicresources.claimstatus import device_id
from hyperkube_apiserver.registry.generic import Rights
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_subdomain

__all__ = ["rights_of"]

GROUP = "resource.k8s.io"
ADMIN_LABEL = "resource.kubernetes.io/admin-access"
_NODE = "authentication.kubernetes.io/node-name"
_ASSOCIATED, _ARBITRARY = "associated-node:", "arbitrary-node:"

Tree = Mapping[str, Any]


class Cluster(Protocol):
    """What is asked beside the claim."""

    @property
    def authorizer(self) -> Authorizer: ...

    def item(self, resource: str, name: str) -> Item | None:
        """An object of the core group that is in no namespace."""


def rights_of(kind: Kind, cluster: Cluster) -> Rights | None:
    """What the rights of writers of a kind of this group are, if it depends on them."""
    match kind.resource.resource:
        case "resourceclaims":
            return _claim_rights(cluster)
        case "resourceclaimtemplates":
            return _template_rights(cluster)
    return None


def _template_rights(cluster: Cluster) -> Rights:
    """The rights of who makes a template of claims; nothing of it that matters here can be changed."""

    def check(template: Tree, old: Tree | None, context: WriteContext) -> list[FieldError]:
        if old is not None:
            return []
        return _check_admin(cluster, context.namespace, _requested((template.get("spec") or {}).get("spec") or {}))

    return check


def _claim_rights(cluster: Cluster) -> Rights:
    """The rights of who makes a claim or writes its status."""

    def check(claim: Tree, old: Tree | None, context: WriteContext) -> list[FieldError] | Awaitable[list[FieldError]]:
        return deciding(cluster.authorizer, lambda authorizer: errors_of(authorizer, claim, old, context))

    def errors_of(
        authorizer: PromptAuthorizer, claim: Tree, old: Tree | None, context: WriteContext
    ) -> list[FieldError]:
        if old is None:
            return _check_admin(cluster, context.namespace, _requested(claim.get("spec") or {}))
        if context.subresource != "status":
            return []
        status, before = claim.get("status") or {}, old.get("status") or {}
        errors: list[FieldError] = []
        if not any(_granted(before)):
            errors = _check_admin(cluster, context.namespace, _granted(status))
        errors += _check_binding(authorizer, status, before, context)
        if status.get("allocation") is not None:
            errors += _check_drivers(authorizer, status, before, context)
        return errors

    return check


def _requested(spec: Tree) -> Iterator[str]:
    """Where a claim asks for admin access."""
    for index, request in enumerate((spec.get("devices") or {}).get("requests") or ()):
        if (request.get("exactly") or {}).get("adminAccess"):
            yield f"spec.devices.requests[{index}].adminAccess"


def _granted(status: Tree) -> Iterator[str]:
    """Where a status gives it."""
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    for index, result in enumerate(results):
        if result.get("adminAccess"):
            yield f"status.allocation.devices.results[{index}].adminAccess"


def _check_admin(cluster: Cluster, namespace: str, paths: Iterable[str]) -> list[FieldError]:
    path = next(iter(paths), None)
    if path is None:
        return []
    found = cluster.item("namespaces", namespace)
    if found is None:
        why = f'could not retrieve namespace to verify admin access: namespaces "{namespace}" not found'
        return [FieldError.internal(path, why)]
    if found.labels.get(ADMIN_LABEL) == "true":
        return []
    text = f"admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing namespace"
    return [FieldError.forbidden(path, text)]


def _check_binding(authorizer: PromptAuthorizer, status: Tree, before: Tree, context: WriteContext) -> list[FieldError]:
    """What the scheduler writes takes a right of its own, in the whole cluster."""
    if all((status.get(field) or None) == (before.get(field) or None) for field in ("allocation", "reservedFor")):
        return []
    refusal = _refusal(authorizer, context.identity, _question("binding", context.verb))
    if refusal is None:
        return []
    text = (
        "changing status.allocation or status.reservedFor requires "
        f'resource="resourceclaims/binding", verb="{context.verb}" permission: {refusal}'
    )
    return [FieldError.forbidden("status.allocation", text)]


def _check_drivers(authorizer: PromptAuthorizer, status: Tree, before: Tree, context: WriteContext) -> list[FieldError]:
    """What a driver reports takes a right to that driver, on the node of the claim or on any."""
    verbs = [_ARBITRARY + context.verb]
    if _is_on_node(context.identity, _node_of(status["allocation"])):
        verbs.insert(0, _ASSOCIATED + context.verb)
    errors = []
    for driver in sorted(_changed_drivers(status.get("devices") or (), before.get("devices") or ())):
        questions = [_question("driver", verb, context.namespace, driver) for verb in verbs]
        refusals = [_refusal(authorizer, context.identity, question) for question in questions]
        if None not in refusals:
            text = f'requires resource="resourceclaims/driver", verb="[{" ".join(verbs)}]" permission: {refusals[0]}'
            errors.append(FieldError.forbidden("status.devices", f"changing status.devices {text}"))
    return errors


def _question(subresource: str, verb: str, namespace: str = "", name: str = "") -> ResourceAttributes:
    return ResourceAttributes(
        verb=verb, group=GROUP, resource="resourceclaims", subresource=subresource, namespace=namespace, name=name
    )


def _refusal(authorizer: PromptAuthorizer, identity: Identity, question: ResourceAttributes) -> str | None:
    decision = authorizer.authorize(identity, question)
    return None if decision.allowed else str(forbidden(identity, question, decision.reason).status["message"])


def _changed_drivers(devices: Sequence[Tree], before: Sequence[Tree]) -> set[str]:
    known = {device_id(device): device for device in before}
    changed = [device for device in devices if known.pop(device_id(device), None) != device]
    return {device.get("driver") or "" for device in (*changed, *known.values())}


def _node_of(allocation: Tree) -> str:
    """The one node that an allocation is for; "" where there is none or are more."""
    terms: Sequence[Tree] = (allocation.get("nodeSelector") or {}).get("nodeSelectorTerms") or ()
    if len(terms) != 1 or terms[0].get("matchExpressions") or len(terms[0].get("matchFields") or ()) != 1:
        return ""
    (field,) = terms[0]["matchFields"]
    values: Sequence[str] = field.get("values") or ()
    is_name = (field.get("key"), field.get("operator")) == ("metadata.name", "In")
    return values[0] if is_name and len(values) == 1 else ""


def _is_on_node(identity: Identity, node: str) -> bool:
    """Whether the writer is a service account of a pod on `node`."""
    if not node or split_service_account(identity.name) is None or dns1123_subdomain(node):
        return False
    return tuple(identity.extra.get(_NODE, ())) == (node,)
