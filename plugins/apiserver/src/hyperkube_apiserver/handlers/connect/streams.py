"""Exec, attach and port forwarding, which kubelets answer.

What is spoken there, SPDY or WebSockets, is the kubelet's and the client's, or translated between the two.
Source: k8s.io/kubernetes/pkg/registry/core/pod/rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from urllib.parse import urlencode

from hyperkube_apiserver.authz import Authorizer, require_create
from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers.connect.targets import Targets, container_of
from hyperkube_apiserver.handlers.connect.translating import FEATURE, Translator
from hyperkube_apiserver.handlers.connect.upgrades import asks_for_upgrade, upgraded
from hyperkube_apiserver.handlers.write import write_context
from hyperkube_apiserver.parameters import WriteOptions, flag, parse_int64
from hyperkube_apiserver.registry.attributes import Operation
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.exchange import Peer
from hyperkube_machinery.serving.messages import Answer
from hyperkube_machinery.streaming import sessions

__all__ = ["STREAMED_METHODS", "Connector", "Streams"]

STREAMED_METHODS = ("GET", "POST")

_OPTIONS = {"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions"}
_FLAGS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""What kubelets call what clients ask for."""


@dataclass(frozen=True, slots=True)
class Connector:
    """What must be passed before anything is passed on."""

    resources: Mapping[str, Served]  # of the core group, by name
    authorizer: Authorizer

    async def admit(self, call: Call, now: str, kind: str, options: dict[str, Any]) -> None:
        """Ask admission. Raises APIError."""
        info = call.info
        registry = self.resources[info.resource].registry
        context = write_context(call, now, WriteOptions(), subresource=info.subresource)
        tree = {"kind": kind, "apiVersion": "v1", **options}
        attributes = registry.attributes(Operation.CONNECT, info.name, context, tree)
        await registry.admission.admit(attributes)
        await registry.admission.validate(attributes)

    async def check_create(self, call: Call) -> None:
        """Whoever opens a stream needs the right to create it, even if a GET asks for it. Raises 403."""
        info = call.info
        if info.verb != "create":
            await require_create(self.authorizer, call.identity, info)


@dataclass(frozen=True, slots=True)
class Streams:
    """Answers exec, attach and portforward."""

    targets: Targets
    connector: Connector
    translator: Translator

    async def __call__(self, call: Call, now: str) -> Answer:
        """The kubelet's connection for the client's."""
        info, query = call.info, call.query
        options: dict[str, Any] = {}
        if info.subresource == "portforward":
            ports = [parse_int64(part) for text in query.get("ports", ()) for part in text.split(",")]
            options = {"ports": ports} if ports else {}
        else:
            options = {field: True for field in _FLAGS if flag(query, field)}
            options |= {"container": query["container"][0]} if query.get("container") else {}
            if info.subresource == "exec" and query.get("command"):
                options["command"] = query["command"]
        await self.connector.admit(call, now, _OPTIONS[info.subresource], options)
        await self.connector.check_create(call)
        pod = await self.targets.get("pods", call.namespace, info.name)
        container = ""
        if info.subresource != "portforward":
            container = container_of(pod, options.get("container", ""))
        node = pod["spec"].get("nodeName") or ""
        if not node:
            raise APIError.bad_request(f"pod {info.name} does not have a host assigned")
        peer = await self.targets.kubelet(node)
        path = f"/{info.subresource}/{call.namespace}/{info.name}/{container}"
        if info.subresource == "portforward":
            path = f"/portForward/{call.namespace}/{info.name}"
        parameters = sorted(_parameters(options), key=itemgetter(0))  # the words of a command stay in order
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        return await self._passed_on(call, node, peer, target, options)

    async def _passed_on(self, call: Call, node: str, peer: Peer, target: str, options: dict[str, Any]) -> Answer:
        """Byte by byte where the kubelet understands the client, else translated."""
        request, subresource = call.request, call.info.subresource
        if not asks_for_upgrade(request):
            raise APIError.bad_request("Upgrade request required")
        here = not await self.targets.declares(node, FEATURE)
        self.translator.count(subresource, here=here)
        if not (here and self.translator.is_for(request, subresource)):
            return await upgraded(request, peer, target)
        if subresource == "portforward":
            return await self.translator.ports(request, peer, target)
        wanted = {name: bool(options.get(name)) for name in _FLAGS}
        return self.translator.command(request, peer, target, sessions.Streams(**wanted))


def _parameters(options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((told, "1") for field, told in _FLAGS.items() if options.get(field))
    yield from (("command", word) for word in options.get("command", ()))
    if options.get("ports"):
        yield "port", ",".join(map(str, options["ports"]))
