"""What is told of a request. Source: k8s.io/apiserver/pkg/audit (request.go, format.go), pkg/apis/audit/v1."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote as escaped

from hyperkube_apiserver.requestinfo import RequestInfo
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.serving.messages import Request
from hyperkube_machinery.timestamps import format_micro

__all__ = ["Event", "as_line", "metadata_of", "status_of", "user_of", "without_managed_fields"]

Event = dict[str, Any]

_LONGEST_AGENT = 1024
_PATH_CHARACTERS = "$&+,/:;=@!'()*-_.~"
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")


def metadata_of(
    request: Request, info: RequestInfo, audit_id: str, sender: Identity | None, level: str, received: float
) -> Event:
    """What is known as soon as it is known whose request it is."""
    agent = request.headers.get("user-agent", "")
    if len(agent) > _LONGEST_AGENT:
        agent = f"{agent[:_LONGEST_AGENT]}...TRUNCATED"
    event: Event = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": level,
        "auditID": audit_id,
        "stage": "",
        "requestURI": escaped(request.path, safe=_PATH_CHARACTERS) + (f"?{request.query}" if request.query else ""),
        "verb": info.verb,
        "user": user_of(sender) if sender is not None else {},
    }
    if addresses := _addresses(request):
        event["sourceIPs"] = addresses
    if agent:
        event["userAgent"] = agent
    if info.is_resource:
        event["objectRef"] = _reference(info)
    event["requestReceivedTimestamp"] = format_micro(received)
    return event


def user_of(identity: Identity) -> Event:
    user: Event = {"username": identity.name}
    if identity.uid:
        user["uid"] = identity.uid
    if identity.groups:
        user["groups"] = list(identity.groups)
    if identity.extra:
        user["extra"] = {key: list(values) for key, values in identity.extra.items()}
    return user


def _reference(info: RequestInfo) -> Event:
    told = {
        "resource": info.resource,
        "namespace": info.namespace,
        "name": info.name,
        "apiGroup": info.group,
        "apiVersion": info.version,
        "subresource": info.subresource,
    }
    return {field: value for field, value in told.items() if value}


def _addresses(request: Request) -> list[str]:
    """Where a request came from, as those say who passed it on, and who passed it last."""
    claimed = [_address(part) for part in request.headers.get("x-forwarded-for", "").split(",")]
    found = [address for address in claimed if address]
    real = _address(request.headers.get("x-real-ip", ""))
    if real and real not in found:
        found.append(real)
    last = _address(request.connection.peer_address)
    if last and found[-1:] != [last]:
        found.append(last)
    return found


def _address(text: str) -> str:
    """An address as Go writes it; "" for what is none. Zeros in front of numbers mean nothing."""
    text = text.strip()
    try:
        address = ipaddress.ip_address(text if ":" in text else _ZEROS.sub("", text))
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def status_of(status: Mapping[str, Any]) -> Event:
    """What is told of a Status that was the answer."""
    told: Event = {"metadata": {}}
    for field in ("status", "message", "reason", "details", "code"):
        if status.get(field) or (field == "details" and status.get(field) is not None):
            told[field] = status[field]
    return told


def without_managed_fields(tree: Mapping[str, Any]) -> Event:
    """An object, a list or a table without what tells who manages which field."""
    told = _without(tree)
    if "items" in told and isinstance(told["items"], list):
        told["items"] = [_without(one) if isinstance(one, dict) else one for one in told["items"]]
    if told.get("kind") == "Table":
        told["rows"] = [
            {**row, "object": _without(row["object"])} if isinstance(row.get("object"), dict) else row
            for row in told.get("rows") or ()
        ]
    return told


def _without(tree: Mapping[str, Any]) -> Event:
    metadata = tree.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return dict(tree)
    return {**tree, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def as_line(event: Event) -> str:
    """An event in the form `legacy`: one line of text that tells the most of it."""
    user, other = event.get("user") or {}, event.get("impersonatedUser")
    name = user.get("username") or ""
    told = {
        "id": event.get("auditID") or "",
        "stage": event.get("stage") or "",
        "ip": (event.get("sourceIPs") or ["<unknown>"])[0],
        "method": event.get("verb") or "",
        "user": name or "<none>",
        "groups": _listed(user["groups"]) if name and user.get("groups") else "<none>",
        "as": (other.get("username") or "") if other else "<self>",
        "asgroups": _listed(other["groups"]) if other and other.get("groups") is not None else "<lookup>",
        "user-agent": event.get("userAgent") or "",
        "namespace": (event.get("objectRef") or {}).get("namespace") or "<none>",
        "uri": event.get("requestURI") or "",
    }
    status = event.get("responseStatus")
    response = str(status.get("code") or 0) if status is not None else "<deferred>"
    pairs = " ".join(f"{key}={quoted(value)}" for key, value in told.items())
    return f'{_trimmed(event["requestReceivedTimestamp"])} AUDIT: {pairs} response="{response}"'


def _listed(groups: Iterable[str]) -> str:
    return ",".join(map(quoted, groups))


def _trimmed(timestamp: str) -> str:
    """A timestamp as Go writes it with as many decimals as it has."""
    whole, _, decimals = timestamp.rstrip("Z").partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals}Z" if decimals else f"{whole}Z"
