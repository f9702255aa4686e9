"""Answers in the form that a client accepts: the object itself, a row of a table, or its metadata alone.

Bodies are bytes already; the plain form, which nearly everybody asks for, joins them and encodes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.representation import decode_body, type_prefix
from hyperkube_apiserver.watchcache.item import EventEncoder, Item
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.serving.stream import chunk

if TYPE_CHECKING:
    from hyperkube_apiserver.handlers.list import Listing

__all__ = ["Output", "PlainOutput", "bookmark", "error_event", "list_metadata"]

_ITEMS_A_CHUNK = 128
JSON = "application/json"


class Output(Protocol):
    """One form of answers."""

    @property
    def stream_type(self) -> str:
        """The content type of a watch."""

    def single(self, kind: Kind, body: bytes) -> Sequence[bytes]:
        """One object."""

    def listing(self, kind: Kind, listing: Listing) -> Sequence[bytes]:
        """A collection."""

    def events(self, kind: Kind) -> EventEncoder:
        """What frames the events of a watch."""


class PlainOutput:
    """The objects themselves."""

    stream_type = JSON

    def single(self, kind: Kind, body: bytes) -> Sequence[bytes]:
        return (type_prefix(kind), body)

    def listing(self, kind: Kind, listing: Listing) -> Sequence[bytes]:
        head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
            kind.list_kind.encode(),
            kind.resource.api_version.encode(),
            list_metadata(listing),
        )
        bodies = [item.body for item in listing.items]
        if not bodies:
            return (head, b"]}")
        chunks = [head, b"{"]
        for start in range(0, len(bodies), _ITEMS_A_CHUNK):
            if start:
                chunks.append(b",{")
            chunks.append(b",{".join(bodies[start : start + _ITEMS_A_CHUNK]))
        chunks.append(b"]}")
        return chunks

    def events(self, kind: Kind) -> EventEncoder:
        return _PlainEvents(kind)


class _PlainEvents:
    key = "plain"

    def __init__(self, kind: Kind) -> None:
        self._prefix = type_prefix(kind)

    def frame(self, event_type: str, item: Item, *, first: bool) -> bytes:
        return chunk(b'{"type":"%b","object":%b%b}\n' % (event_type.encode(), self._prefix, item.body))


def list_metadata(listing: Listing) -> bytes:
    """The metadata of a collection."""
    parts = [b'{"resourceVersion":"%d"' % listing.revision]
    if listing.continue_token:
        parts.append(b',"continue":"%b"' % listing.continue_token.encode())
        if listing.remaining is not None:
            parts.append(b',"remainingItemCount":%d' % listing.remaining)
    parts.append(b"}")
    return b"".join(parts)


def bookmark(kind: Kind, revision: int, *, ends_initial_events: bool = False) -> bytes:
    """A framed bookmark: an object of `kind` that tells nothing but how far the stream has come."""
    tree: dict[str, Any] = {"metadata": {}}
    Schemas.load().walker(kind.definition).walk(tree)
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if ends_initial_events:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    typed = {"kind": kind.resource.kind, "apiVersion": kind.resource.api_version, **tree, "metadata": metadata}
    return chunk(encode({"type": "BOOKMARK", "object": typed}) + b"\n")


def error_event(status: Mapping[str, Any]) -> bytes:
    """A framed event that tells why a watch ends."""
    return chunk(encode({"type": "ERROR", "object": status}) + b"\n")


class MetadataOutput:
    """The metadata alone, as PartialObjectMetadata."""

    stream_type = JSON

    def single(self, kind: Kind, body: bytes) -> Sequence[bytes]:
        return (encode(_partial(body)),)

    def listing(self, kind: Kind, listing: Listing) -> Sequence[bytes]:
        head = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":%b,"items":'
        items = encode([_partial(item.body) for item in listing.items] or None)
        return (head % list_metadata(listing), items, b"}")

    def events(self, kind: Kind) -> EventEncoder:
        return _MetadataEvents()


class _MetadataEvents:
    key = "metadata"

    def frame(self, event_type: str, item: Item, *, first: bool) -> bytes:
        return chunk(encode({"type": event_type, "object": _partial(item.body)}) + b"\n")


def _partial(body: bytes) -> dict[str, Any]:
    metadata = decode_body(body)["metadata"]
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
