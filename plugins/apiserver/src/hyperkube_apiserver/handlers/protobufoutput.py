"""The same answers in protobuf, which Kubernetes' own clients ask for.

A message is made of an object's bytes when it is first asked for, and kept beside them like the object in another
version: whoever gets, lists or watches it afterwards joins bytes here too.
Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.handlers.output import NoEvents, list_meta
from hyperkube_apiserver.printers import PROTOBUF, Form, Representation, partial
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery.protobufoutput import delimited, enveloped, event_frame, field_head, messages
from hyperkube_machinery.serving.stream import chunk

if TYPE_CHECKING:
    from hyperkube_apiserver.handlers.listing import Listing
    from hyperkube_apiserver.handlers.output import Output
    from hyperkube_apiserver.kinds import Kind
    from hyperkube_apiserver.registry.conversions import ShownVersion
    from hyperkube_apiserver.watchcache.item import EventEncoder, Item

__all__ = ["protobuf_output"]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_A_TURN = 1024
"""How many messages are joined before others have their turn."""
_JSON_BYTES = 128
"""To make a message of so many bytes of JSON takes as long as to join one: a pod is some eighty microseconds."""
_METADATA, _ITEM = b"\x0a", b"\x12"

Type = tuple[str, str]
"""apiVersion and kind."""


class ProtobufOutput:
    """The objects themselves; `version` is given where they are stored in another."""

    content_type = PROTOBUF
    stream_type = f"{PROTOBUF};stream=watch"

    def __init__(self, version: ShownVersion | None) -> None:
        self._version = version
        self._key = f"{PROTOBUF} {version.api_version}" if version is not None else PROTOBUF

    def single(self, kind: Kind, body: bytes) -> Sequence[bytes]:
        return _whole(self.type_of(kind), self._message(kind, body))

    def stored(self, kind: Kind, item: Item) -> Sequence[bytes]:
        return _whole(self.type_of(kind), self.message_of(kind, item))

    async def listing(self, kind: Kind, listing: Listing) -> Sequence[bytes]:
        chunks = [delimited(_METADATA, messages().of(_META + "ListMeta")(list_meta(listing).tree()))]
        parts: list[bytes] = []
        effort = 0
        for item in listing.items:
            if effort >= _A_TURN:
                chunks.append(b"".join(parts))
                parts, effort = [], 0
                await asyncio.sleep(0)
            effort += 1 if self._is_made(item) else 1 + len(item.body) // _JSON_BYTES
            message = self.message_of(kind, item)
            parts += (field_head(_ITEM, len(message)), message)
        chunks.append(b"".join(parts))
        before, behind = enveloped(*self._list_type(kind), sum(map(len, chunks)))
        return [before, *chunks, behind]

    def events(self, kind: Kind) -> EventEncoder:
        return _Events(self._key, self, kind)

    def error_event(self, status: Mapping[str, Any]) -> bytes:
        message = messages().of(_META + "Status")(status)
        return chunk(event_frame("ERROR", b"".join(_whole(("v1", "Status"), message))))

    def type_of(self, kind: Kind) -> Type:
        """What an object is told to be."""
        return kind.resource.api_version, kind.resource.kind

    def message_of(self, kind: Kind, item: Item) -> bytes:
        """The message of an object that a cache holds."""
        if item.versions is None:
            item.versions = {}
        message = item.versions.get(self._key)
        if message is None:
            message = item.versions[self._key] = self._message(kind, item.body)
        return message

    def _is_made(self, item: Item) -> bool:
        return item.versions is not None and self._key in item.versions

    def _message(self, kind: Kind, body: bytes) -> bytes:
        if self._version is not None:
            body = self._version.converted(body)
        return messages().of(kind.definition)(decode_body(body))

    def _list_type(self, kind: Kind) -> Type:
        return kind.resource.api_version, kind.list_kind


class MetadataOutput(ProtobufOutput):
    """The metadata alone, as PartialObjectMetadata of meta.k8s.io/`version`, which is not kept."""

    def __init__(self, version: str, *, lists: bool) -> None:
        super().__init__(None)
        self._api_version = f"meta.k8s.io/{version}"
        self._key = f"{PROTOBUF} metadata {version}"
        self._lists = lists

    def events(self, kind: Kind) -> EventEncoder:
        return NoEvents() if self._lists else super().events(kind)

    def type_of(self, kind: Kind) -> Type:
        return self._api_version, "PartialObjectMetadata"

    def message_of(self, kind: Kind, item: Item) -> bytes:
        return self._message(kind, item.body)

    def _message(self, kind: Kind, body: bytes) -> bytes:
        metadata = partial(decode_body(body), kind=kind)["metadata"]
        return delimited(_METADATA, messages().of(_META + "ObjectMeta")(metadata))

    def _list_type(self, kind: Kind) -> Type:
        return self._api_version, "PartialObjectMetadataList"


class _Events:
    """Frames events whose objects are messages."""

    def __init__(self, key: str, output: ProtobufOutput, kind: Kind) -> None:
        self.key = key
        self._output = output
        self._kind = kind

    def frame(self, event_type: str, item: Item, *, first: bool) -> bytes:
        return chunk(event_frame(event_type, b"".join(self._output.stored(self._kind, item))))


def _whole(type_: Type, message: bytes) -> Sequence[bytes]:
    before, behind = enveloped(*type_, len(message))
    return before, message, behind


def protobuf_output(representation: Representation, version: ShownVersion | None) -> Output:
    """The output for what was negotiated; `version` is that of a kind which is stored in another."""
    if representation.form is Form.OBJECT:
        return ProtobufOutput(version)
    return MetadataOutput(representation.version, lists=representation.form is Form.METADATA_LIST)
