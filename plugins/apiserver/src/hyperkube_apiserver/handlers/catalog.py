"""What is answered otherwise than by reading and writing stored objects of its own kind."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from hyperkube_apiserver.authn import Authenticator
from hyperkube_apiserver.authz import Authorizer, ReviewingAuthorizer
from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers import accessreviews, binding, identityreviews, tokens
from hyperkube_apiserver.handlers.componentstatuses import ComponentStatuses, cluster_checks
from hyperkube_apiserver.handlers.connect.targets import KubeletTerms, Targets
from hyperkube_apiserver.handlers.eviction import Evictions
from hyperkube_apiserver.handlers.virtual import Handler, Handlers, Virtual
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.attributes import AdmissionControl
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.serving.messages import Answer
from hyperkube_machinery.serving.metrics import Registry

__all__ = ["bindings", "component_statuses", "connections", "evictions", "reviews", "token_requests"]

Key = tuple[str, str, str]

_VERSION = "v1"


def bindings(kinds: Mapping[Key, Kind], pods: Served) -> Handlers:
    """Bindings, which are stored in their pods."""

    async def bind(call: Call, now: str) -> Answer:
        info = call.info
        return await binding.bind(call, pods, now, kind=kinds[info.group, info.version, info.resource])

    return {("", "bindings", ""): bind, ("", "pods", "binding"): bind}


def connections(
    resources: Mapping[str, Served],
    hub: Hub,
    authorizer: Authorizer,
    kubelets: KubeletTerms,
    *,
    clock: Clock,
    registry: Registry,
) -> Handlers:
    """What is passed on to kubelets and pods; `resources` are those of the core group, by name."""

    @cache
    def handlers() -> Mapping[str, Handler]:
        """By subresource. What they need is imported for the first such request; most servers never see one."""
        from hyperkube_apiserver.handlers.connect.logs import Logs
        from hyperkube_apiserver.handlers.connect.proxies import Proxies
        from hyperkube_apiserver.handlers.connect.streams import Connector, Streams
        from hyperkube_apiserver.handlers.connect.translating import Translator

        targets, connector = Targets(resources, hub, kubelets), Connector(resources, authorizer)
        streams, proxies = Streams(targets, connector, Translator(clock, registry)), Proxies(targets, connector)
        return {"log": Logs(targets), "attach": streams, "exec": streams, "portforward": streams, "proxy": proxies}

    async def pass_on(call: Call, now: str) -> Answer:
        return await handlers()[call.info.subresource](call, now)

    on_pods = ("attach", "exec", "log", "portforward", "proxy")
    proxied = [("", resource, "proxy") for resource in ("nodes", "services")]
    return dict.fromkeys([*(("", "pods", subresource) for subresource in on_pods), *proxied], pass_on)


def evictions(pods: Served, budgets: Served, hub: Hub) -> Handlers:
    """Evictions of pods, which disruption budgets have a say in."""
    return {("", "pods", "eviction"): Evictions(pods, budgets, hub)}


def component_statuses(kinds: Mapping[Key, Kind], hub: Hub, clock: Clock) -> Handlers:
    """What is found out when it is asked for."""
    kind = kinds["", _VERSION, "componentstatuses"]
    return {("", "componentstatuses", ""): ComponentStatuses(kind, cluster_checks(hub, clock), clock)}


def reviews(
    kinds: Mapping[Key, Kind],
    authenticator: Authenticator,
    authorizer: ReviewingAuthorizer,
    admission: AdmissionControl,
    clock: Clock,
) -> Handlers:
    """The reviews of access and identity."""
    groups = {
        accessreviews.GROUP: accessreviews.access_reviews(authorizer),
        identityreviews.GROUP: identityreviews.identity_reviews(authenticator, clock),
    }
    handlers: dict[Key, Handler] = {}
    for group, creations in groups.items():
        for resource, create in creations.items():
            handlers[group, resource, ""] = Virtual(kinds[group, _VERSION, resource], create, admission, clock)
    return handlers


def token_requests(
    issuer: tokens.Issuer, resources: Mapping[str, Served], admission: AdmissionControl, hub: Hub, clock: Clock
) -> Handlers:
    """Requests for tokens of service accounts; `resources` are those of the core group, by name."""
    accounts = resources["serviceaccounts"].kind
    create = tokens.token_requests(issuer, resources, hub, clock)
    answer = Virtual(accounts, create, admission, clock, body=_token_request(), keeps_uid=True, default=tokens.default)
    return {("", "serviceaccounts", "token"): answer}


def _token_request() -> Kind:
    """The kind of what is sent and answered; it is served below service accounts alone."""
    resource = Resource(
        group=tokens.GROUP,
        version=_VERSION,
        resource="serviceaccounts",
        kind="TokenRequest",
        singular="",
        namespaced=True,
        verbs=("create",),
    )
    definition = Schemas.load().definition_of(resource.api_version, resource.kind)
    assert definition is not None
    return Kind(resource=resource, definition=definition, list_kind="", storage_prefix="")
