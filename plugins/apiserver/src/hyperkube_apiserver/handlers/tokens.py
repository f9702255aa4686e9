"""POST of serviceaccounts/NAME/token: a token for a service account.

Source: k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage (TokenREST), pkg/apis/authentication there.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.authn.jwt import signed
from hyperkube_apiserver.authn.keys import SigningKey
from hyperkube_apiserver.authn.serviceaccounts import Bound, claims
from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers.virtual import Creation, Validate
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError, FieldError, failure
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["GROUP", "Issuer", "default", "token_requests"]

GROUP = "authentication.k8s.io"

DEFAULT_SECONDS = 3600
SHORTEST_SECONDS = 600
LONGEST_SECONDS = 1 << 32
INJECTED_SECONDS = 3607
"""What the admission plugin ServiceAccount asks for in the pods that it changes, and hardly anybody else."""
EXTENDED_SECONDS = 365 * 24 * 3600
"""How long such tokens really last, for clients that read their token's file but once."""

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who signs tokens, and on which terms."""

    name: str
    key: SigningKey
    audiences: tuple[str, ...]  # this server's: of tokens for which none are asked for
    longest_seconds: int = 0  # tokens last no longer; 0 for as long as they like
    extends: bool = True  # whether those last longer that are put into pods unasked


def token_requests(issuer: Issuer, resources: Mapping[str, Served], hub: Hub, clock: Clock) -> Creation:
    """What answers requests for tokens; `resources` are those of the core group, by name."""

    async def create(call: Call, request: Tree, validate: Validate) -> Tree:
        name, namespace = call.info.name, call.namespace
        metadata, spec = meta.ensure_meta(request), request["spec"]
        if metadata.get("name") not in (None, "", name):
            why = "must match the service account name if specified"
            raise _invalid(name, FieldError.invalid("metadata.name", metadata["name"], why))
        await hub.fresh()
        account = _get(resources["serviceaccounts"], namespace, name)
        uid = metadata.get("uid") or meta.uid(account)
        if uid != meta.uid(account):
            why = f"the UID in the token request ({uid}) does not match the UID of the service account "
            raise _conflict(GROUP, "TokenRequest", name, f"{why}({meta.uid(account)})")
        spec["audiences"] = spec.get("audiences") or list(issuer.audiences)
        now = clock.now()
        metadata |= {"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": format_seconds(now)}
        request["status"] = {"token": "", "expirationTimestamp": None}
        _check_expiration(spec["expirationSeconds"])
        await validate()
        bound = _bound(resources, namespace, name, spec.get("boundObjectRef"))
        if 0 < issuer.longest_seconds < spec["expirationSeconds"]:
            asked, given = spec["expirationSeconds"], issuer.longest_seconds
            call.warn(f"requested expiration of {asked} seconds shortened to {given} seconds")
            spec["expirationSeconds"] = given
        lasts, warn_after = _lifetime(issuer, spec, bound)
        told = claims(
            account,
            bound,
            issuer=issuer.name,
            audiences=spec["audiences"],
            now=now,
            lasts_seconds=lasts,
            warn_after_seconds=warn_after,
            token_id=str(uuid.uuid4()),
        )
        expires = format_seconds(now + spec["expirationSeconds"])
        request["status"] = {"token": signed(issuer.key, told), "expirationTimestamp": expires}
        return request

    return create


def default(request: Tree) -> None:
    """Fill in how long a token lasts where the request doesn't say."""
    if request["spec"].get("expirationSeconds") is None:
        request["spec"]["expirationSeconds"] = DEFAULT_SECONDS


def _lifetime(issuer: Issuer, spec: Tree, bound: Bound) -> tuple[int, int]:
    """How long a token lasts, and after how long its use is stale (0 for never), in seconds."""
    seconds: int = spec["expirationSeconds"]
    ours = set(spec["audiences"]) <= set(issuer.audiences)
    if issuer.extends and bound.pod is not None and seconds == INJECTED_SECONDS and ours:
        return EXTENDED_SECONDS, seconds
    return seconds, 0


def _check_expiration(seconds: int) -> None:
    why = ""
    if seconds < SHORTEST_SECONDS:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > LONGEST_SECONDS:
        why = "may not specify a duration larger than 2^32 seconds"
    if why:
        raise _invalid("", FieldError.invalid("spec.expirationSeconds", seconds, why))


def _bound(resources: Mapping[str, Served], namespace: str, account: str, ref: Tree | None) -> Bound:
    """What the token is to be bound to. Raises 404, 409 or 400 where that can't be."""
    if ref is None:
        return Bound()
    group, version, kind = _group_version(ref.get("apiVersion", ""), ref.get("kind", ""))
    name = ref.get("name", "")
    if (group, kind) == ("", "Pod"):
        pod = _get(resources["pods"], namespace, name)
        if pod["spec"].get("serviceAccountName", "") != account:
            why = f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            raise APIError.bad_request(why)
        found, bound = pod, Bound(pod=pod, node=_node_of(resources["nodes"], pod))
    elif (group, kind) == ("", "Node"):
        found = _get(resources["nodes"], "", name)
        bound = Bound(node=found)
    elif (group, kind) == ("", "Secret"):
        found = _get(resources["secrets"], namespace, name)
        bound = Bound(secret=found)
    else:
        raise APIError.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
    uid = ref.get("uid", "")
    if uid and uid != meta.uid(found):
        why = (
            f"the UID in the bound object reference ({uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise _conflict("", kind, name, why)
    return bound


def _group_version(api_version: str, kind: str) -> tuple[str, str, str]:
    """Group, version and kind; an apiVersion that is none counts for nothing."""
    if api_version.count("/") > 1:
        return "", "", kind
    group, _, version = api_version.rpartition("/")
    return group, version, kind


def _node_of(nodes: Served, pod: Tree) -> Tree | None:
    """The pod's node; its name alone where the node is not there, so that the token still tells it."""
    name = pod["spec"].get("nodeName", "")
    if not name:
        return None
    item = nodes.cache.get(nodes.kind.key("", name))
    return decode_body(item.body) if item is not None else {"metadata": {"name": name}}


def _get(served: Served, namespace: str, name: str) -> Tree:
    item = served.cache.get(served.kind.key(namespace, name))
    if item is None:
        raise APIError.not_found(served.kind.resource, name)
    return decode_body(item.body)


def _invalid(name: str, error: FieldError) -> APIError:
    return APIError.invalid(GROUP, "TokenRequest", name, [error])


def _conflict(group: str, kind: str, name: str, why: str) -> APIError:
    qualified = f"{kind}.{group}" if group else kind
    details = {"name": name, **({"group": group} if group else {}), "kind": kind}
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return APIError(failure(409, "Conflict", message, details))
