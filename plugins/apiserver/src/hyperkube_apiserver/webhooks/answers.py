"""What a webhook answered, read as client-go reads it. Source: k8s.io/client-go/rest/request.go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_machinery.jsontext import BadJSON, parse
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.schema.exact import json_type

__all__ = ["read_answer", "retry_seconds"]

Tree = dict[str, Any]

_SHOWN = 2048
_GENERIC = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}
_OWN_WORDS = (403, 406, 415)
"""With these a server says what it does not allow, or does not take."""
_INTERNAL = 500
_NO_KIND = "couldn't get version/kind; json parse error: "
_TYPE_FIELDS = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


def retry_seconds(status: int, headers: Mapping[str, str]) -> int | None:
    """How long a server asks to wait before the same is asked once more; None where it does not ask for that."""
    if status != 429 and status < _INTERNAL:
        return None
    text = headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdigit() else None


def read_answer(status: int, headers: Mapping[str, str], body: bytes, review: Tree) -> Tree:
    """The review in an answer to `review`. Raises CallFailed."""
    if not 200 <= status <= 206:
        raise _refusal(status, headers, body)
    if not body:
        told = headers.get("content-type", "") or "application/json"
        raise CallFailed(f"0-length response with status code: {status} and content type: {told}")
    answer = _decoded(body)
    _check_kind(answer, review)
    return answer


def _decoded(body: bytes) -> Tree:
    """The object in a body: JSON, or YAML where it does not begin as an object of JSON does."""
    try:
        answer = parse(body) if body.lstrip().startswith(b"{") else _from_yaml(body)
    except BadJSON as exc:
        raise CallFailed(f"{_NO_KIND}{exc}") from exc
    if not isinstance(answer, dict):
        raise CallFailed(f"{_NO_KIND}json: cannot unmarshal {json_type(answer)} into Go value of type {_TYPE_FIELDS}")
    for field in ("apiVersion", "kind"):
        value = answer.get(field)
        if value is not None and not isinstance(value, str):
            why = f"cannot unmarshal {json_type(value)} into Go struct field .{field} of type string"
            raise CallFailed(f"{_NO_KIND}json: {why}")
    return answer


def _from_yaml(body: bytes) -> Any:
    from hyperkube_machinery.yamltext import BadYAML, parse_yaml  # takes long to load

    try:
        return parse_yaml(body)[0]
    except BadYAML as exc:
        raise CallFailed(f"error converting YAML to JSON: {exc}") from exc


def _check_kind(answer: Tree, review: Tree) -> None:
    """Raise unless an answer is a review like the one that was sent; what it leaves out is taken for that."""
    expected, kind = review["kind"], answer.get("kind") or review["kind"]
    wanted, version = review["apiVersion"], answer.get("apiVersion") or review["apiVersion"]
    if (kind, version) == (expected, wanted):
        return
    group = wanted.rpartition("/")[0]
    if (kind, version) == ("Status", "v1") or (kind == expected and version in (f"{group}/v1", f"{group}/v1beta1")):
        raise CallFailed(f"converting ({_go(version, kind)}) to ({_go(wanted, expected)}): unknown conversion")
    scheme = "k8s.io/apiserver/pkg/util/webhook/client.go:71"
    raise CallFailed(f'no kind "{kind}" is registered for version "{version}" in scheme "{scheme}"')


def _go(api_version: str, kind: str) -> str:
    return f"{api_version.rpartition('/')[2]}.{kind}"


def _refusal(status: int, headers: Mapping[str, str], body: bytes) -> CallFailed:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    if isinstance(told, dict) and (told.get("kind"), told.get("apiVersion")) == ("Status", "v1"):
        return CallFailed(str(told.get("message") or ""), code=int(told.get("code") or status))
    content_type = headers.get("content-type", "").strip().lower()
    is_text = not content_type or content_type.startswith("text/")
    said = body[:_SHOWN].decode("utf-8", "replace").strip() if is_text else "unknown"
    if status in _OWN_WORDS and (status != 406 or said not in ("", "unknown")):
        message = said
    elif status in _GENERIC:
        message = _GENERIC[status]
    elif status >= _INTERNAL:
        message = f"an error on the server ({quoted(said)}) has prevented the request from succeeding"
    else:
        message = f"the server responded with the status code {status} but did not return more information"
    return CallFailed(message, code=status)
