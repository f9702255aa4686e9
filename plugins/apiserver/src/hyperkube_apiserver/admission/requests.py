"""A request as webhooks and expressions see it. Source: k8s.io/api/admission/v1 (AdmissionRequest)."""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.admission.rules import GroupVersionKind, Target, target_of
from hyperkube_apiserver.admission.selectors import namespace_of
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.identity import Identity

__all__ = ["request_tree"]

Tree = dict[str, Any]


def request_tree(attributes: Attributes, target: Target) -> Tree:
    """An AdmissionRequest without its objects and its uid, in the order in which Go writes it."""
    own = target_of(attributes.kind, attributes.subresource)
    tree: Tree = {"kind": _kind(target.body), "resource": _resource(target.resource)}
    _put(tree, "subResource", attributes.subresource)
    tree["requestKind"] = _kind(own.body)
    tree["requestResource"] = _resource(attributes.kind)
    _put(tree, "requestSubResource", attributes.subresource)
    _put(tree, "name", attributes.name)
    _put(tree, "namespace", namespace_of(attributes))
    tree["operation"] = attributes.operation.value
    tree["userInfo"] = _user(attributes.identity)
    tree["dryRun"] = attributes.dry_run
    tree["options"] = attributes.options or None
    return tree


def _put(tree: Tree, field: str, value: str) -> None:
    if value:
        tree[field] = value


def _kind(kind: GroupVersionKind) -> Tree:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _resource(kind: Kind) -> Tree:
    resource = kind.resource
    return {"group": resource.group, "version": resource.version, "resource": resource.resource}


def _user(identity: Identity) -> Tree:
    user: Tree = {}
    _put(user, "username", identity.name)
    _put(user, "uid", identity.uid)
    if identity.groups:
        user["groups"] = list(identity.groups)
    if identity.extra:
        user["extra"] = {key: list(values) for key, values in identity.extra.items()}
    return user
