"""Bindings: how a scheduler tells that a pod goes to a node.

Source: k8s.io/kubernetes/pkg/registry/core/pod/storage (BindingREST).
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers.write import write_context
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.parameters import write_options
from hyperkube_apiserver.registry.attributes import Operation
from hyperkube_apiserver.registry.core.binding import bind as bind_pod
from hyperkube_apiserver.registry.core.binding import check_binding
from hyperkube_apiserver.registry.meta import match_namespace
from hyperkube_apiserver.registry.ownership import copied
from hyperkube_machinery import meta
from hyperkube_machinery.decoding import read_object
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.serving.messages import Response

__all__ = ["bind"]

_DEFINITION = "io.k8s.api.core.v1.Binding"

Tree = dict[str, Any]


async def bind(call: Call, pods: Served, now: str, *, kind: Kind) -> Response:
    """Bind the pod that the binding in the body is for; `kind` is the resource that the request names."""
    options = write_options(call.query, "CreateOptions")
    binding, warnings = read_object(
        call.request.body,
        call.header("content-type"),
        Schemas.load().walker(_DEFINITION),
        group_version="v1",
        kind="Binding",
        field_validation=options.field_validation,
    )
    for text in warnings:
        call.warn(text)
    if call.trail is not None:
        call.trail.sent(binding)
    match_namespace(binding, call.namespace)
    name = call.info.name or meta.name(binding)
    context = write_context(call, now, options, subresource="binding")
    attributes = pods.registry.attributes(Operation.CREATE, name, context, binding)
    attributes.kind, attributes.subresource = kind, call.info.subresource
    await pods.registry.admission.admit(attributes)
    check_binding(binding, name)
    await pods.registry.admission.validate(attributes)

    def assign(pod: Tree) -> Tree:
        _check_version(pods, pod, binding)
        bound = copied(pod)
        bind_pod(bound, binding, now=now, resource=pods.kind.resource)
        return bound

    await pods.registry.update(name, assign, context, call.warn, uid=meta.uid(binding))
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return Response(201, encode(status))


def _check_version(pods: Served, pod: Tree, binding: Tree) -> None:
    wanted, found = meta.resource_version(binding), meta.resource_version(pod)
    if not wanted or wanted == found:
        return
    name = meta.name(pod)
    key = pods.kind.key(meta.namespace(pod), name)
    raise APIError.conflict(
        pods.kind.resource,
        name,
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition "
        f"failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {found}",
    )
