"""Finished JSON answers in another dress: indented for people, as YAML or in protobuf.

Few ask for the first two, so the answer is made as JSON like any other and decoded once more here; and in protobuf only
those come this way that are no stored objects.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from hyperkube_machinery.decoding import PROTOBUF
from hyperkube_machinery.encoding import encode_indented
from hyperkube_machinery.serving.messages import Response

__all__ = ["as_protobuf", "as_yaml", "indented", "wants_indentation"]

_PEOPLE = ("curl", "Wget", "Mozilla/5.0")


def wants_indentation(pretty: str | None, user_agent: str) -> bool:
    """Whether to indent: as the query parameter `pretty` says, else for clients that show answers as they are."""
    if pretty is not None:
        return pretty.lower() in ("1", "t", "true")
    return user_agent.startswith(_PEOPLE)


def indented(response: Response) -> Response:
    """A JSON answer laid out for reading."""
    body = encode_indented(orjson.loads(_whole(response.body))) + b"\n"
    return Response(response.status, body, response.content_type, response.headers)


def as_yaml(response: Response) -> Response:
    """A JSON answer as YAML."""
    from hyperkube_machinery.yamloutput import to_yaml  # takes a tenth of the server's start, and few ask for it

    text = to_yaml(orjson.loads(_whole(response.body)))
    return Response(response.status, text.encode(), "application/yaml", response.headers)


def as_protobuf(response: Response) -> Response:
    """A JSON answer in protobuf; one of a kind that has no message stays what it is."""
    from hyperkube_machinery.protobufoutput import encode_typed  # most clients ask for JSON alone

    body = encode_typed(orjson.loads(_whole(response.body)))
    return response if body is None else Response(response.status, body, PROTOBUF, response.headers)


def _whole(body: bytes | Iterable[bytes]) -> bytes:
    return body if isinstance(body, bytes) else b"".join(body)
