"""ComponentStatuses: whether the store and the servers that belong to a cluster are well, asked at each request.

Nothing is stored. As upstream, controller manager and scheduler are looked for on this machine alone.
Source: k8s.io/kubernetes/pkg/registry/core/componentstatus, k8s.io/kubernetes/pkg/probe/http.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping

from hyperkube_apiserver.call import Call
from hyperkube_apiserver.deadlines import Late, in_time
from hyperkube_apiserver.handlers.listing import Listing
from hyperkube_apiserver.handlers.output import output_for
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.parameters import list_options
from hyperkube_apiserver.printers import check_form, negotiate
from hyperkube_apiserver.registry.strategy import Strategy
from hyperkube_apiserver.selection import select
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Answer, Response
from hyperkube_machinery.storage.interface import Unavailable

__all__ = ["ComponentStatuses", "cluster_checks"]

_PORTS = {"controller-manager": 10257, "scheduler": 10259}
_PROBE_SECONDS = 20.0
_MOST_BYTES = 10 * 1024  # of an answer, as much as upstream reads

Verdict = tuple[bool, str, str]
"""Whether a component is well, a message, and an error."""
Check = Callable[[], Awaitable[Verdict]]


class ComponentStatuses:
    """Answers GET and LIST."""

    def __init__(self, kind: Kind, checks: Mapping[str, Check], clock: Clock) -> None:
        self._kind = kind
        self._strategy = Strategy(kind)
        self._checks = checks
        self._clock = clock

    async def __call__(self, call: Call, now: str) -> Answer:
        one = call.info.names_object
        representation = call.layout = negotiate(call.header("accept"), lists=not one)
        check_form(representation.form, self._kind, lists=not one)
        output = output_for(representation, call.query, self._clock.now)
        if one:
            return Response(200, output.stored(self._kind, await self._item(call.info.name)), output.content_type)
        options = list_options(call.query, watch=False)
        selected = select(self._strategy, options.label_selector, options.field_selector)
        items = await asyncio.gather(*(self._item(name) for name in sorted(self._checks)))
        listing = Listing([item for item in items if selected.matches(item)], None)
        return Response(200, await output.listing(self._kind, listing), output.content_type)

    async def _item(self, name: str) -> Item:
        check = self._checks.get(name)
        if check is None:
            details = {"name": name, "kind": "componentstatus"}
            raise APIError.of(404, "NotFound", f'componentstatus "{name}" not found', details)
        well, message, error = await check()
        condition = {"type": "Healthy", "status": "True" if well else "False", "message": message, "error": error}
        said = {field: value for field, value in condition.items() if value}
        body = encode({"metadata": {"name": name}, "conditions": [said]})[1:]
        return Item("", "", name, 0, body, {}, {"metadata.name": name, "metadata.namespace": ""})


def cluster_checks(hub: Hub, clock: Clock) -> dict[str, Check]:
    """What is looked at, by the names of upstream's components; this server's store answers for etcd."""

    def listening(port: int) -> Check:
        async def check() -> Verdict:
            well, message = await _probe(port, clock)
            return well, message, ""

        return check

    async def store() -> Verdict:
        try:
            await hub.store.get("/registry/health")  # reads the disk, whether there is such a key or not
        except Unavailable as exc:
            return False, "", str(exc)
        return True, "ok", ""

    return {"etcd-0": store, **{name: listening(port) for name, port in _PORTS.items()}}


async def _probe(port: int, clock: Clock) -> tuple[bool, str]:
    """Whether a server says on this machine's `port` that it is well, and what it says, or why it can't."""
    url = f"https://127.0.0.1:{port}/healthz"
    try:
        status, text = await in_time(clock, _PROBE_SECONDS, _get(port))
    except Late:
        return False, f'Get "{url}": context deadline exceeded'
    except ConnectionRefusedError:
        return False, f'Get "{url}": dial tcp 127.0.0.1:{port}: connect: connection refused'
    except (OSError, ValueError, EOFError) as exc:
        return False, f'Get "{url}": {exc}'
    if 200 <= status < 400:
        return True, text
    return False, f"HTTP probe failed with statuscode: {status}"


async def _get(port: int) -> tuple[int, str]:
    """Status and body of /healthz. The certificate is not looked at: nothing is sent that would be a secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\n\r\n")
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        text = (await reader.read(_MOST_BYTES)).decode(errors="replace")
        return int(head.split(" ", 2)[1]), text
    finally:
        writer.close()
