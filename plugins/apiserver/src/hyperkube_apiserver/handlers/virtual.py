"""Resources that are only ever created: a question goes in, its answer comes out, and nothing is stored.

Reviews of access and identity are such, and requests for tokens. One is a function from what was sent to what is
answered; what all have in common is here.
Source: k8s.io/apiserver/pkg/endpoints/handlers (create).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hyperkube_apiserver.call import Call
from hyperkube_apiserver.handlers.output import output_for
from hyperkube_apiserver.handlers.useragent import manager_of
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.parameters import write_options
from hyperkube_apiserver.printers import Form, Representation, check_form, negotiate
from hyperkube_apiserver.registry.attributes import AdmissionControl, Attributes, Operation, options_tree
from hyperkube_apiserver.registry.meta import match_namespace
from hyperkube_apiserver.registry.ownership import set_entries
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.decoding import read_object
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.fields import Ownership, Writer
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.serving.messages import Answer, Response

__all__ = ["Creation", "Handler", "Handlers", "Validate", "Virtual"]

Tree = dict[str, Any]
Validate = Callable[[], Awaitable[None]]
"""Lets admission look at what is to be answered; a creation awaits it once, when it has found nothing wrong itself."""
Creation = Callable[[Call, Tree, Validate], Awaitable[Tree]]
"""Makes the answer of what was sent, which it may change. Raises APIError to refuse."""
Handler = Callable[[Call, str], Awaitable[Answer]]
"""Answers a call; the text is what time it is."""
Handlers = Mapping[tuple[str, str, str], Handler]
"""By group, resource and subresource ("" for the resource itself)."""

_SYSTEM_FIELDS = ("creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
_ACCEPTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


def _undefaulted(tree: Tree) -> None:
    """Most have nothing to fill in."""


@dataclass(frozen=True, slots=True)
class Virtual:
    """Answers creations of one kind of object that is not stored."""

    kind: Kind  # the resource that admission is told of; its definition is that of the body unless `body` says more
    create: Creation
    admission: AdmissionControl
    clock: Clock
    body: Kind | None = None  # what a subresource's bodies are
    keeps_uid: bool = False  # what a client says of system fields such as the uid means something
    default: Callable[[Tree], None] = _undefaulted  # fills in what the client left out

    async def __call__(self, call: Call, now: str) -> Answer:
        """The answer to a POST."""
        body = self.body or self.kind
        representation = call.layout = _negotiated(call.header("accept"), body)
        options = write_options(call.query, "CreateOptions")
        tree = self._read(call, body, options.field_validation)
        self.default(tree)
        if call.trail is not None:
            call.trail.sent(tree)
        writer = Writer(
            manager=options.field_manager or manager_of(call.header("user-agent")),
            now=now,
            subresource=call.info.subresource,
        )
        owners = _ownership(body.definition, body.resource.api_version, body.resource.kind)
        set_entries(tree, owners.updated(None, tree, writer))
        attributes = Attributes(
            kind=self.kind,
            operation=Operation.CREATE,
            name=call.info.name or meta.name(tree),
            namespace=call.namespace,
            subresource=call.info.subresource,
            obj=tree,
            identity=call.identity,
            dry_run=options.dry_run,
            ends=call.ends,
            options=options_tree(Operation.CREATE, options.shown),
            warn=call.warn,
            annotate=call.annotate,
        )
        await self.admission.admit(attributes)
        answer = await self.create(call, tree, lambda: self.admission.validate(attributes))
        ordered = {"metadata": meta.metadata(answer)}
        for field, value in answer.items():
            if field not in ("kind", "apiVersion", "metadata"):
                ordered[field] = value
        output = output_for(representation, call.query, self.clock.now)
        return Response(201, output.single(body, encode(ordered)[1:]), output.content_type)

    def _read(self, call: Call, body: Kind, field_validation: str) -> Tree:
        resource = body.resource
        tree, warnings = read_object(
            call.request.body,
            call.header("content-type"),
            Schemas.load().walker(body.definition),
            group_version=resource.api_version,
            kind=resource.kind,
            field_validation=field_validation,
        )
        for text in warnings:
            call.warn(text)
        metadata = meta.ensure_meta(tree)
        match_namespace(tree, call.namespace)
        if not self.keeps_uid:
            for field in _SYSTEM_FIELDS:
                metadata.pop(field, None)
        return tree


@cache
def _ownership(definition: str, api_version: str, kind: str) -> Ownership:
    return Ownership(definition, api_version, kind)


def _negotiated(accept: str, kind: Kind) -> Representation:
    """What to answer with; there are no tables of what isn't listed, so that who asks for one gets his next choice."""
    representation = negotiate(accept)
    if representation.form is Form.TABLE:
        left = ",".join(clause for clause in accept.split(",") if "as=Table" not in clause.replace(" ", ""))
        if not left:
            raise APIError.of(406, "NotAcceptable", f"only the following media types are accepted: {_ACCEPTED}")
        return _negotiated(left, kind)
    check_form(representation.form, kind, lists=False)
    return representation
