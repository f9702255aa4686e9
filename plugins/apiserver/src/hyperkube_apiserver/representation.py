"""How an object's bytes are laid out, in the store and on the wire.

    stored   {"kind":"Pod","apiVersion":"v1","metadata":{"name":…},…}
    body                                    "metadata":{"resourceVersion":"7","name":…},…}

The store assigns the resource version when it commits, so what is stored never holds it: it is spliced in once, when
the change reaches the watch cache. From then on one run of bytes, the body, serves every reader: behind the type it is
the object itself, behind a brace an item of a list (which carries no type), inside a frame an event.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from hyperkube_apiserver.kinds import Kind
from hyperkube_machinery.encoding import encode_as_go

__all__ = ["body_of", "decode_body", "decode_stored", "encode_body", "encode_stored", "type_prefix", "with_version"]

_METADATA = b'"metadata":{'
_VERSION = b'"metadata":{"resourceVersion":"'


def type_prefix(kind: Kind) -> bytes:
    """What stands before the body in an object of `kind`."""
    return _type_prefix(kind.resource.kind, kind.resource.api_version)


@cache
def _type_prefix(kind: str, api_version: str) -> bytes:
    return b'{"kind":"%b","apiVersion":"%b",' % (kind.encode(), api_version.encode())


def encode_stored(kind: Kind, tree: dict[str, Any]) -> bytes:
    """The bytes that are stored for `tree`; this is the one encoding in an object's life between two writes."""
    metadata = tree["metadata"]
    metadata.pop("resourceVersion", None)
    ordered = {"kind": kind.resource.kind, "apiVersion": kind.resource.api_version, "metadata": metadata}
    for name, value in tree.items():
        if name not in ordered:
            ordered[name] = value
    return encode_as_go(ordered)


def encode_body(tree: dict[str, Any]) -> bytes:
    """The body of `tree`, which knows its resource version; what was not stored has none."""
    metadata = tree["metadata"]
    version = metadata.get("resourceVersion")
    ordered = {"metadata": {"resourceVersion": version, **metadata} if version else metadata}
    for name, value in tree.items():
        if name not in ("kind", "apiVersion", "metadata"):
            ordered[name] = value
    return encode_as_go(ordered)[1:]


def body_of(stored: bytes, prefix_length: int, revision: int) -> bytes:
    """The body of a stored object that was written at `revision`; `prefix_length` is that of its type."""
    return b'%b%d",%b' % (_VERSION, revision, stored[prefix_length + len(_METADATA) :])


def with_version(body: bytes, revision: int) -> bytes:
    """A body as of another revision: a deletion shows what was deleted at the revision of the deletion."""
    end = body.index(b'"', len(_VERSION))
    return b"%b%d%b" % (_VERSION, revision, body[end:])


def decode_body(body: bytes) -> dict[str, Any]:
    """The tree of a body, without its type."""
    tree: dict[str, Any] = orjson.loads(b"{" + body)
    return tree


def decode_stored(stored: bytes) -> dict[str, Any]:
    """The tree of a stored object, with its type, without a resource version."""
    tree: dict[str, Any] = orjson.loads(stored)
    return tree
