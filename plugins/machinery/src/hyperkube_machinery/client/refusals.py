"""What an answer that isn't a success means. Source: k8s.io/client-go/rest/request.go, apimachinery/pkg/api/errors."""

from __future__ import annotations

import orjson

from hyperkube_machinery.client.transport import RawResponse
from hyperkube_machinery.errors import APIError, failure

__all__ = ["error_of", "retry_seconds"]

_GENERIC = {
    400: ("BadRequest", "the server rejected our request for an unknown reason"),
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    403: ("Forbidden", "the server does not allow access to the requested resource"),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    406: ("NotAcceptable", "the server was unable to respond with a content type that the client supports"),
    409: ("Conflict", "the server reported a conflict"),
    413: ("RequestEntityTooLarge", "the server responded with the request body being too large"),
    415: ("UnsupportedMediaType", "the server was unable to accept the body's content type"),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "an error on the server has prevented the request from succeeding"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted, but may still be processing it"),
}
_SHOWN = 200
"""Characters of a body that isn't the API's."""


def error_of(response: RawResponse) -> APIError:
    """The `Status` in the body, or one made up where a proxy answered, or a server that is no API server."""
    status = _status(response.body)
    if status is None:
        reason, message = _GENERIC.get(response.status, ("Unknown", f"the server answered with {response.status}"))
        text = response.body.decode("utf-8", "replace").strip()
        if text:
            message = f"{message} ({text[:_SHOWN]})"
        status = failure(response.status, reason, message, _details(response))
    status.setdefault("message", "")
    status["code"] = response.status
    return APIError(status, headers=tuple(response.headers.items()))


def _status(body: bytes) -> dict[str, object] | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(document, dict) and document.get("kind") == "Status" and document.get("apiVersion") == "v1":
        return document
    return None


def _details(response: RawResponse) -> dict[str, object] | None:
    seconds = retry_seconds(response)
    return None if seconds is None else {"retryAfterSeconds": seconds}


def retry_seconds(response: RawResponse) -> int | None:
    """How long the server asks to wait before the same request may succeed; None where it asks nothing.

    Such an answer says that the request wasn't carried out, whichever it was.
    """
    if response.status != 429 and response.status < 500:
        return None
    text = response.headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdigit() else None
