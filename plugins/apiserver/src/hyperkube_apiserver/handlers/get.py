"""GET of one object."""

from __future__ import annotations

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers.output import Output
from hyperkube_apiserver.parameters import flag
from hyperkube_apiserver.versions import fresh_enough, invalid_version, parse_version
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Response

__all__ = ["get", "read"]


async def get(call: Call, served: Served, hub: Hub, output: Output) -> Response:
    """The object that `call` names."""
    if not call.query:
        item = await read(served, hub, call.info.namespace, call.info.name)
    else:
        if flag(call.query, "export"):
            raise APIError.bad_request("the export parameter, deprecated since v1.14, is no longer supported")
        wanted = call.query.get("resourceVersion", [""])[0]
        item = await read(served, hub, call.info.namespace, call.info.name, wanted)
    return Response(200, output.stored(served.kind, item), output.content_type)


async def read(served: Served, hub: Hub, namespace: str, name: str, resource_version: str = "") -> Item:
    """The newest state of an object, or one not older than `resource_version`; raises 404."""
    if not resource_version:
        await hub.fresh()
    else:
        revision = parse_version(resource_version)
        if revision is None:
            raise APIError.of(500, "", invalid_version(resource_version))
        await fresh_enough(hub, revision)
    item = served.cache.get(served.kind.key(namespace, name))
    if item is None:
        raise APIError.not_found(served.kind.resource, name)
    await served.ready((item,))
    return item
