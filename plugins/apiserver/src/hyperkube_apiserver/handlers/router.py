"""Which handler answers a request for a resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers import get, list, patch, scale, watch, write
from hyperkube_apiserver.handlers.nonresource import not_found
from hyperkube_apiserver.handlers.output import Output, output_for
from hyperkube_apiserver.handlers.virtual import Handlers
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.offering import Delegate, Offering
from hyperkube_apiserver.printers import JSON, check_form, negotiate
from hyperkube_apiserver.requestinfo import RequestInfo
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Answer
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["Router"]

_ON_COLLECTIONS = frozenset(("list", "watch", "create", "deletecollection"))
_PROXIED_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
_PASSED_ON = frozenset(("proxy", "log", "exec", "attach", "portforward"))
"""What others answer."""
_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}


class Router:
    """Finds the served resource, checks that it can be asked for that, and calls the handler.

    What is offered may change at any time. Resources that aren't stored have handlers of their own, as have
    subresources that are no part of the object they are below.
    """

    def __init__(
        self,
        offering: Offering,
        handlers: Handlers,
        hub: Hub,
        clock: Clock,
        *,
        shortest_watch_seconds: float,
    ) -> None:
        self._offering = offering
        self._kinds = offering.kinds
        self._served = offering.served
        self._handlers = handlers
        self._hub = hub
        self._clock = clock
        self._shortest_watch_seconds = shortest_watch_seconds

    async def answer(self, call: Call, may_create: Callable[[], Awaitable[None]]) -> Answer:
        """Answer `call`; `may_create` raises if its caller may not create what an update would make."""
        info = call.info
        served = self._served.get((info.group, info.version, info.resource))
        if served is None or self._offering.delegates:
            delegate = self._offering.delegate(info.group, info.version)
            if delegate is not None:
                call.layout = JSON  # whatever it answers is passed on as it is
                return await delegate.answer(call)
            if served is None:
                return await self._virtual(call)
        if served.schema is not None:
            return await self._custom(call, served, may_create)
        if not _is_path(info, served.kind):
            raise APIError.no_such_path()
        if served.kind.deprecation:
            _deprecate(call, served.kind)
        if info.subresource:
            return await self._subresource(call, served)
        if call.request.method != _METHODS.get(info.verb) or info.verb not in served.kind.resource.verbs:
            raise APIError.method_not_allowed()
        if info.names_object == (info.verb in _ON_COLLECTIONS) and not info.by_path:
            raise APIError.method_not_allowed()
        if info.verb in ("create", "deletecollection") and served.kind.resource.namespaced and not info.in_namespace:
            raise APIError.method_not_allowed()
        return await self._handled(call, served, may_create)

    async def _custom(self, call: Call, served: Served, may_create: Callable[[], Awaitable[None]]) -> Answer:
        """Answer for a custom resource, of which upstream looks at the verb alone and refuses in other words."""
        info, kind = call.info, served.kind
        across = info.verb in ("list", "watch") and kind.resource.namespaced
        if bool(info.namespace) != kind.resource.namespaced and not across:
            return not_found()
        if kind.deprecation:
            _deprecate(call, kind)
        if info.subresource:
            subresource = kind.subresource(info.subresource)
            if subresource is None:
                raise APIError.not_found(kind.resource, info.name)
            verbs = subresource.verbs
        else:
            verbs = kind.resource.verbs
        if info.verb not in verbs:
            raise _unsupported(kind, info.verb)
        if info.verb in ("update", "patch") and not info.name:
            if info.verb == "patch":
                patch.patch_type(call, served.schema)
            raise APIError.bad_request("name must be provided")
        if not served.open:
            await served.opened()
            current = self._served.get((info.group, info.version, info.resource))
            if current is not served:  # the definition was changed meanwhile, or deleted
                return not_found() if current is None else await self._custom(call, current, may_create)
        served.enter()
        try:
            if info.subresource:
                return await self._subresource(call, served)
            return await self._handled(call, served, may_create)
        finally:
            served.leave()

    async def _handled(self, call: Call, served: Served, may_create: Callable[[], Awaitable[None]]) -> Answer:
        """Answer a request for an object or a collection that can be asked for that."""
        output = self._output(call, served, lists=not call.info.names_object)
        match call.info.verb:
            case "get":
                return await get.get(call, served, self._hub, output)
            case "list":
                return await list.list_collection(call, served, self._hub, output)
            case "watch":
                shortest = self._shortest_watch_seconds
                return await watch.watch(call, served, self._hub, output, clock=self._clock, shortest_seconds=shortest)
            case "create":
                return await write.create(call, served, output, self._now())
            case "update":
                return await write.update(call, served, output, self._now(), may_create=may_create)
            case "patch":
                return await patch.patch(call, served, output, self._now(), may_create=may_create)
            case "delete":
                return await write.delete(call, served, output, self._now())
            case _:
                return await write.delete_collection(call, served, self._hub, output, self._now())

    def elsewhere(self, path: str) -> Delegate | None:
        """Who answers for the group version whose root is `path`, where that isn't this server."""
        if not self._offering.delegates:
            return None
        match path.strip("/").split("/"):
            case ["apis", group, version]:
                return self._offering.delegate(group, version)
        return None

    async def _virtual(self, call: Call) -> Answer:
        """Answer for what is only ever created."""
        info = call.info
        kind = self._kinds.get((info.group, info.version, info.resource))
        if kind is None and not self._offering.is_built_in(info.group):
            return not_found()
        if kind is None or not _is_path(info, kind) or info.subresource:
            raise APIError.no_such_path()
        if info.names_object and "get" not in kind.resource.verbs:
            raise APIError.no_such_path()
        if kind.resource.namespaced and not info.in_namespace:
            raise APIError.no_such_path()
        if call.request.method != _METHODS.get(info.verb) or info.verb not in kind.resource.verbs:
            raise APIError.method_not_allowed()
        if kind.deprecation:
            _deprecate(call, kind)
        return await self._handlers[info.group, info.resource, ""](call, self._now())

    async def _subresource(self, call: Call, served: Served) -> Answer:
        info = call.info
        subresource = served.kind.subresource(info.subresource)
        if subresource is None:
            raise APIError.no_such_path()
        if subresource.name == "proxy":
            if call.request.method not in _PROXIED_METHODS:
                raise APIError.method_not_allowed()
        elif call.request.method != _METHODS.get(info.verb) or info.verb not in subresource.verbs:
            raise APIError.method_not_allowed()
        handler = self._handlers.get((info.group, info.resource, info.subresource))
        if handler is not None:
            if subresource.name in _PASSED_ON:
                call.layout = JSON
            return await handler(call, self._now())
        if subresource.name == "scale":
            shown = call.layout = negotiate(call.header("accept"), routed=served.schema is None)
            plain = output_for(shown, call.query, self._clock.now)
            return await scale.answer(call, served, self._hub, plain, self._now())
        output = self._output(call, served, lists=False)
        match info.verb:
            case "get":
                return await get.get(call, served, self._hub, output)
            case "update":
                return await write.update(call, served, output, self._now())
            case _:
                return await patch.patch(call, served, output, self._now())

    def _output(self, call: Call, served: Served, *, lists: bool) -> Output:
        verb = call.info.verb
        representation = call.layout = negotiate(
            call.header("accept"),
            lists=lists and verb in ("list", "watch"),
            watch=verb == "watch",
            routed=served.schema is None,
        )
        if verb in ("get", "list"):
            check_form(representation.form, served.kind, lists=lists)
        return output_for(representation, call.query, self._clock.now, served.version, served.schema)

    def _now(self) -> str:
        return format_seconds(self._clock.now())


def _unsupported(kind: Kind, verb: str) -> APIError:
    resource = kind.resource
    message = f'{verb} is not supported on resources of kind "{resource.resource}.{resource.group}"'
    details = {"group": resource.group, "kind": resource.resource}
    return APIError.of(405, "MethodNotAllowed", message, details)


def _deprecate(call: Call, kind: Kind) -> None:
    """Tell the client, and auditors, that a resource is not to be used any more."""
    call.warn(kind.deprecation)
    call.annotate("k8s.io/deprecated", "true")


def _is_path(info: RequestInfo, kind: Kind) -> bool:
    """Whether a path is served at all, whatever the method."""
    if (info.rest or "//" in info.path) and info.subresource != "proxy":
        return False
    # Through a namespace leads no way to what is in none, not even to namespaces: a caller may do there what its roles
    # in that one namespace say.
    if kind.resource.namespaced:
        return info.in_namespace or not info.names_object
    return not info.in_namespace
