"""The scale subresource: how many replicas a workload has, in one shape for all kinds.

Source: k8s.io/kubernetes/pkg/registry/apps/*/storage (ScaleREST).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers import apply, get
from hyperkube_apiserver.handlers.output import Output
from hyperkube_apiserver.handlers.patch import in_declared_order, patch_type, patched, read_patch
from hyperkube_apiserver.handlers.write import check_name, write_context
from hyperkube_apiserver.kinds import Column, Kind
from hyperkube_apiserver.parameters import WriteOptions, write_options
from hyperkube_apiserver.registry.attributes import Part
from hyperkube_apiserver.registry.generic import PATCH_ATTEMPTS, UPDATE_ATTEMPTS
from hyperkube_apiserver.registry.ownership import FieldOwners, Versions, copied, set_entries
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_machinery import meta
from hyperkube_machinery.decoding import read_object
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError, FieldError
from hyperkube_machinery.fields import LEAF, SCALE_VERSION, ReplicasPaths, to_scale, to_workload
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.selectors import label_selector
from hyperkube_machinery.serving.messages import Response

__all__ = ["answer"]

_DEFINITION = "io.k8s.api.autoscaling.v1.Scale"
_VERSION, _KIND = SCALE_VERSION, "Scale"
_AGE = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
"""What upstream tells of the column, in its words."""
_COPIED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")

_GROUP, _, _SHORT_VERSION = _VERSION.partition("/")
_RESOURCE = Resource(
    group=_GROUP, version=_SHORT_VERSION, resource="scale", kind=_KIND, singular="", namespaced=True, verbs=()
)

Tree = dict[str, Any]


async def answer(call: Call, served: Served, hub: Hub, output: Output, now: str) -> Response:
    """GET, PUT or PATCH the scale of the workload that `call` names."""
    shape = served.scale or _BUILT_IN

    def shown(tree: Tree) -> Response:
        scale = shape.of(tree)
        untyped = {name: value for name, value in scale.items() if name not in ("kind", "apiVersion")}
        return Response(200, output.single(_scale_kind(served), encode(untyped)[1:]), output.content_type)

    if call.info.verb == "get":
        tree = served.shown(await get.read(served, hub, call.namespace, call.info.name))
        shape.require(tree)
        return shown(tree)
    uid = ""
    if call.info.verb == "update":
        options = write_options(call.query, "UpdateOptions")
        context = write_context(call, now, options)
        replacement = _replacement(call, options)
        uid = meta.uid(replacement)
        change, attempts = _owning(lambda old: replacement, context), UPDATE_ATTEMPTS
    else:
        media_type = patch_type(call, served.schema)
        applies = media_type == apply.MEDIA_TYPE
        options = write_options(call.query, "PatchOptions", applies=applies)
        context = write_context(call, now, options)
        if applies:
            change = apply.applying(call, _owners(), _scale_kind(served), options, context)
        else:
            change = _owning(_patch(call, media_type, options), context)
        attempts = PATCH_ATTEMPTS
    context = replace(context, part=Part(of=shape.of, put=shape.put))
    version = served.kind.resource.api_version
    paths = shape.paths or {version: ("f:spec", "f:replicas")}

    def rescale(old: Tree) -> Tree:
        entries = old["metadata"].get("managedFields")
        before = shape.before(old)
        set_entries(before, to_scale(entries, paths))
        scale = change(before)
        shape.check(meta.name(old), scale)
        if served.schema is None and (wanted := meta.uid(scale)) and wanted != meta.uid(old):
            why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {meta.uid(old)}"
            resource = served.kind.resource
            raise APIError.conflict(replace(resource, resource=f"{resource.resource}/scale"), meta.name(old), why)
        tree = copied(old)
        shape.put(tree, scale)
        if served.schema is None or meta.resource_version(scale):
            tree["metadata"]["resourceVersion"] = meta.resource_version(scale)
        set_entries(tree, to_workload(entries, scale["metadata"].get("managedFields"), paths, version))
        return tree

    written = await served.registry.update(
        call.info.name, rescale, context, call.warn, uid=uid, attempts=attempts, owned=True
    )
    return shown(decode_body(written.body))


def _owning(change: Callable[[Tree], Tree], context: WriteContext) -> Callable[[Tree], Tree]:
    """`change`, after which the writer owns what it changed."""

    def changed(old: Tree) -> Tree:
        scale = change(old)
        _owners().record(scale, old, context)
        return scale

    return changed


@cache
def _owners() -> FieldOwners:
    """Who owns what of a scale."""
    kind = Kind(resource=_RESOURCE, definition=_DEFINITION, list_kind="", storage_prefix="")
    return FieldOwners(kind, lambda subresource: LEAF, Versions(_VERSION))


def _scale_kind(served: Served) -> Kind:
    """What is shown, also as a table; the first and the last of its columns are those of the workload."""
    return _custom_kind(served.schema.columns[0]) if served.schema is not None else _built_in_kind(served.kind)


def _custom_kind(name: Column) -> Kind:
    counts = [
        Column(name=title, type=type_, format="", priority=0, description=description)
        for title, type_, description in (
            ("Desired", "integer", "Number of desired replicas"),
            ("Available", "integer", "Number of actual replicas"),
            ("Age", "date", _AGE),
        )
    ]
    return Kind(resource=_RESOURCE, definition=_DEFINITION, list_kind="", storage_prefix="", columns=(name, *counts))


def _built_in_kind(kind: Kind) -> Kind:
    about = {column.name: column for column in kind.columns}
    counts = [
        Column(name=name, type="integer", format="", priority=0, description=description)
        for name, description in (
            ("Desired", "replicas is the desired number of instances for the scaled object."),
            ("Available", "replicas is the actual number of observed instances of the scaled object."),
        )
    ]
    columns = (replace(about["Name"], format=""), *counts, about["Age"])
    return Kind(resource=_RESOURCE, definition=_DEFINITION, list_kind="", storage_prefix="", columns=columns)


def scale_of(workload: Tree) -> Tree:
    """The scale of a workload."""
    spec, status = workload.get("spec", {}), workload.get("status", {})
    replicas = spec.get("replicas", 0)
    selector = spec.get("selector")
    told: Tree = {"replicas": status.get("replicas", 0)}
    text = _selector_text(selector)
    if text:
        told["selector"] = text
    return {
        "kind": _KIND,
        "apiVersion": _VERSION,
        "metadata": {name: workload["metadata"][name] for name in _COPIED if name in workload["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": told,
    }


class _BuiltIn:
    """Workloads, which all have their replicas at the same place."""

    paths: ReplicasPaths | None = None

    of = staticmethod(scale_of)
    before = staticmethod(scale_of)

    def require(self, workload: Tree) -> None:
        """There always are replicas."""

    def put(self, workload: Tree, scale: Tree) -> None:
        workload["spec"]["replicas"] = (scale.get("spec") or {}).get("replicas", 0)

    def check(self, name: str, scale: Tree) -> None:
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if replicas < 0:
            error = FieldError.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
            raise APIError.invalid("autoscaling", _KIND, name, [error])


def _selector_text(selector: Tree | None) -> str:
    if not selector:
        return ""
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(label_selector(selector))
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))  # of a ReplicationController


_BUILT_IN = _BuiltIn()


def _replacement(call: Call, options: WriteOptions) -> Tree:
    scale, warnings = read_object(
        call.request.body,
        call.header("content-type"),
        Schemas.load().walker(_DEFINITION),
        group_version=_VERSION,
        kind=_KIND,
        field_validation=options.field_validation,
    )
    for text in warnings:
        call.warn(text)
    check_name(scale, call.info.name)
    if call.trail is not None:
        call.trail.sent(scale)
    return scale


def _patch(call: Call, media_type: str, options: WriteOptions) -> Callable[[Tree], Tree]:
    walker = Schemas.load().walker(_DEFINITION)
    asked = read_patch(call, media_type, walker, _VERSION, _KIND, options.field_validation)
    return lambda old: patched(call, asked, old, in_declared_order(walker))
