"""GET of pods/NAME/log: what a container wrote, from the kubelet that has it.

Source: k8s.io/kubernetes/pkg/registry/core/pod (LogLocation), ValidatePodLogOptions in core validation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hyperkube_apiserver.call import Call
from hyperkube_apiserver.handlers.connect.targets import Targets, container_of
from hyperkube_apiserver.parameters import flag, parse_int64
from hyperkube_apiserver.requestinfo import Query
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError, FieldError, failure
from hyperkube_machinery.exchange import Exchange, ExchangeError, exchange
from hyperkube_machinery.serving.messages import Answer, BodyWriter, Response, StreamingResponse
from hyperkube_machinery.timestamps import TimestampError, normal_seconds

__all__ = ["Logs", "passed_on"]

_MOST_ERROR_BYTES = 10 << 10
_SAYING_WHY = (403, 415)
_REASONS = {
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    403: ("Forbidden", ""),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    409: ("Conflict", "the server reported a conflict"),
    415: ("UnsupportedMediaType", ""),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: (
        "Timeout",
        "the server was unable to return a response in the time allotted, but may still be processing the request",
    ),
}


@dataclass(frozen=True, slots=True)
class Logs:
    """Answers requests for logs."""

    targets: Targets

    async def __call__(self, call: Call, now: str) -> Answer:
        """The log, as it is written where the client wants to follow it."""
        query, name = call.query, call.info.name
        parameters = _parameters(query, name)
        pod = await self.targets.get("pods", call.namespace, name)
        container = container_of(pod, _text(query, "container"))
        node = pod["spec"].get("nodeName") or ""
        if not node:
            return Response(204, b"", content_type="")
        peer = await self.targets.kubelet(node, checked=not flag(query, "insecureSkipTLSVerifyBackend"))
        target = f"/containerLogs/{call.namespace}/{name}/{container}"
        if parameters:
            target += f"?{urlencode(sorted(parameters.items()))}"
        headers = [("Host", peer.authority), ("User-Agent", "kube-apiserver"), ("Connection", "close")]
        try:
            answer = await exchange(peer, "GET", target, headers)
        except ExchangeError as exc:
            raise APIError.of(500, "", f'Get "{peer.scheme}://{peer.authority}{target}": {exc}') from exc
        if not 200 <= answer.status <= 206:
            raise await _refusal(answer, name)
        return StreamingResponse(passed_on(answer), 200, "text/plain")


def passed_on(
    answer: Exchange, read: Sequence[bytes] = (), rest: AsyncIterator[bytes] | None = None
) -> Callable[[BodyWriter], Any]:
    """What writes the body of `answer` to a client, as fast as that reads, and then closes it.

    `read` are pieces that were read already, of those that `rest` goes on with.
    """

    async def produce(body: BodyWriter) -> None:
        try:
            for piece in read:
                body.send(piece)
            async for piece in answer.pieces() if rest is None else rest:
                body.send(piece)
                await body.drain()
        except ExchangeError:
            raise ConnectionResetError from None  # the client must not take what it got for all there is
        finally:
            answer.close()

    return produce


def _text(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def _parameters(query: Query, name: str) -> dict[str, str]:
    """What is asked of the log, as the kubelet is asked it. Raises 400 for what can't be read, 422 for nonsense."""
    asked = {field: "true" for field in ("follow", "previous", "timestamps") if flag(query, field)}
    numbers = {
        field: parse_int64(query[field][0]) for field in ("sinceSeconds", "tailLines", "limitBytes") if query.get(field)
    }
    since = _text(query, "sinceTime")
    if since:
        try:
            asked["sinceTime"] = normal_seconds(since) or since
        except TimestampError as exc:
            raise APIError.bad_request(str(exc)) from exc
    errors: list[FieldError] = []
    if numbers.get("tailLines", 0) < 0:
        errors.append(FieldError.invalid("tailLines", numbers["tailLines"], "must be greater than or equal to 0"))
    if numbers.get("limitBytes", 1) < 1:
        errors.append(FieldError.invalid("limitBytes", numbers["limitBytes"], "must be greater than 0"))
    if "sinceSeconds" in numbers and since:
        text = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        errors.append(FieldError.forbidden("", text))
    elif numbers.get("sinceSeconds", 1) < 1:
        errors.append(FieldError.invalid("sinceSeconds", numbers["sinceSeconds"], "must be greater than 0"))
    if query.get("stream"):
        errors.append(FieldError.forbidden("stream", "may not be specified"))
    if errors:
        raise APIError.invalid("", "PodLogOptions", name, errors)
    return asked | {field: str(number) for field, number in numbers.items()}


async def _refusal(answer: Exchange, name: str) -> APIError:
    """What a kubelet that doesn't want says, as upstream tells of it."""
    try:
        said = (await answer.body(_MOST_ERROR_BYTES)).decode("utf-8", "replace")
    except ExchangeError as exc:
        return APIError.internal(str(exc))
    finally:
        answer.close()
    if answer.status == 500:
        return APIError.internal(said)
    if answer.status == 400:
        return APIError.bad_request(said)
    known = f"the server responded with the status code {answer.status} but did not return more information"
    reason, message = _REASONS.get(answer.status, ("", known))
    if answer.status in _SAYING_WHY:
        message = said
    elif answer.status > 500 and not reason:
        reason = "InternalError"
        message = f"an error on the server ({encode(said).decode()}) has prevented the request from succeeding"
    return APIError(failure(answer.status, reason, f"{message} ( pods/log {name})", {"name": name, "kind": "pods/log"}))
