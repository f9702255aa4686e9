"""What the expressions of admission are given of a request.

Source: k8s.io/apiserver/pkg/admission/plugin/cel (activation.go, condition.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.requests import request_tree
from hyperkube_apiserver.admission.rules import Target
from hyperkube_apiserver.admission.selectors import namespace_of
from hyperkube_apiserver.authz import PromptAuthorizer
from hyperkube_apiserver.authz.attributes import Attributes as Question
from hyperkube_apiserver.authz.attributes import ResourceAttributes
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery.cel.kubernetes import authorization as cel
from hyperkube_machinery.identity import Identity, service_account_groups

if TYPE_CHECKING:
    from hyperkube_apiserver.authz import Decision

__all__ = ["Given", "namespace_object"]

Tree = dict[str, Any]

_NAMESPACE_META = (
    *("name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "finalizers"),
)
_ANY_VERSION = "*"


def namespace_object(attributes: Attributes, cluster: Cluster) -> Tree | None:
    """The namespace that a request is about something in, as expressions see it.

    Raises APIError 404 where it is not there.
    """
    resource = attributes.kind.resource
    name = attributes.namespace
    if not name or (resource.resource == "namespaces" and not resource.group):
        return None
    item = cluster.item("namespaces", name)
    if item is None:
        raise cluster.missing("namespaces", name)
    return _shown(item.body)


@lru_cache(maxsize=128)
def _shown(namespace: bytes) -> Tree:
    """What is seen of a stored namespace. It is shared, for expressions change nothing."""
    tree = decode_body(namespace)
    metadata = tree["metadata"]
    shown = {field: metadata[field] for field in _NAMESPACE_META if field in metadata}
    return {"metadata": shown, "spec": tree.get("spec") or {}, "status": tree.get("status") or {}}


class Given:
    """The values that expressions have for one request, in one version of its objects."""

    def __init__(
        self, attributes: Attributes, target: Target, obj: Tree | None, old: Tree | None, namespace: Tree | None
    ) -> None:
        self._attributes = attributes
        self._values = {
            "object": obj,
            "oldObject": old,
            "request": request_tree(attributes, target),
            "namespaceObject": namespace,
        }

    def with_params(self, params: Tree | None, authorizer: PromptAuthorizer | None) -> Mapping[str, Any]:
        """All of them; without an authorizer, expressions that ask one fail."""
        if authorizer is None:
            return {**self._values, "params": params}
        asking = cel.Authorizer(_Asking(self._attributes.identity, authorizer))
        return {
            **self._values,
            "params": params,
            "authorizer": asking,
            "authorizer.requestResource": cel.ResourceCheck(asking, self._own_question()),
        }

    def _own_question(self) -> cel.Question:
        attributes, resource = self._attributes, self._attributes.kind.resource
        return cel.Question(
            verb="",
            group=resource.group,
            resource=resource.resource,
            subresource=attributes.subresource,
            namespace=namespace_of(attributes),
            name=attributes.name,
        )


class _Asking:
    """Puts an expression's questions to the server's authorizer."""

    def __init__(self, identity: Identity, authorizer: PromptAuthorizer) -> None:
        self._identity = identity
        self._authorizer = authorizer

    def __call__(self, question: cel.Question) -> cel.Decision:
        """What the authorizer says. Raises Undecided, which ends the evaluation for now."""
        decision: Decision = self._authorizer.authorize(self._who(question), _translated(question))
        return cel.Decision(decision.allowed, decision.reason, decision.error)

    def _who(self, question: cel.Question) -> Identity:
        if question.service_account is None:
            return self._identity
        namespace, name = question.service_account
        return Identity(f"system:serviceaccount:{namespace}:{name}", groups=service_account_groups(namespace))


def _translated(question: cel.Question) -> Question:
    return ResourceAttributes(
        verb=question.verb,
        group=question.group,
        resource=question.resource,
        subresource=question.subresource,
        namespace=question.namespace,
        name=question.name,
        field_selector=question.field_selector,
        label_selector=question.label_selector,
        version=_ANY_VERSION if question.is_resource else "",
        is_resource=question.is_resource,
        path=question.path,
    )
