"""Answers in the form that a client accepts: the object itself, a row of a table, or its metadata alone.

Bodies are bytes already; the plain form, which nearly everybody asks for, joins them and encodes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from hyperkube_apiserver.handlers.listing import Listing
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.printers import (
    PROTOBUF,
    SORTED_KINDS,
    Form,
    IncludeObject,
    ListMeta,
    Representation,
    include_object,
    partial,
    partial_list,
)
from hyperkube_apiserver.registry.conversions import ShownVersion, Version
from hyperkube_apiserver.representation import decode_body, type_prefix
from hyperkube_apiserver.requestinfo import Query
from hyperkube_apiserver.watchcache.item import EventEncoder, Item
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.serving.stream import chunk
from hyperkube_machinery.serving.turns import slices

if TYPE_CHECKING:
    from hyperkube_apiserver.crd.schema import CustomSchema

__all__ = ["NoEvents", "Output", "bookmark", "list_meta", "output_for"]

_ITEMS_A_CHUNK = 128
_BODIES_A_SLICE = 1024
"""Joined before others have their turn: some two milliseconds, as with the next."""
_TREES_A_SLICE = 64
"""Decoded, shown in another form and encoded."""
JSON = "application/json"


class Output(Protocol):
    """One form of answers."""

    @property
    def content_type(self) -> str:
        """Of an object or a collection."""

    @property
    def stream_type(self) -> str:
        """Of a watch."""

    def single(self, kind: Kind, body: bytes) -> Sequence[bytes]:
        """One object, by its body in the stored version."""

    def stored(self, kind: Kind, item: Item) -> Sequence[bytes]:
        """One object that a cache holds."""

    async def listing(self, kind: Kind, listing: Listing) -> Sequence[bytes]:
        """A collection; a long one is made in slices."""

    def events(self, kind: Kind) -> EventEncoder:
        """What frames the events of a watch."""

    def error_event(self, status: Mapping[str, Any]) -> bytes:
        """A framed event that tells why a watch ends."""


class JSONOutput:
    """What all have in common that is JSON."""

    content_type = stream_type = JSON

    def error_event(self, status: Mapping[str, Any]) -> bytes:
        return chunk(encode({"type": "ERROR", "object": status}) + b"\n")


class PlainOutput(JSONOutput):
    """The objects themselves."""

    def single(self, kind: Kind, body: bytes) -> Sequence[bytes]:
        return (type_prefix(kind), body)

    def stored(self, kind: Kind, item: Item) -> Sequence[bytes]:
        return (type_prefix(kind), item.body)

    async def listing(self, kind: Kind, listing: Listing) -> Sequence[bytes]:
        return await self._listed(kind, listing, b"{", _list_metadata(listing))

    async def _listed(self, kind: Kind, listing: Listing, opening: bytes, metadata: bytes) -> Sequence[bytes]:
        """A collection, of whose items each begins with `opening`."""
        head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
            kind.list_kind.encode(),
            kind.resource.api_version.encode(),
            metadata,
        )
        if not listing.items:
            return (head, b"]}")
        chunks = [head]
        before, between = opening, b"," + opening
        async for items in slices(listing.items, _BODIES_A_SLICE):
            bodies = [item.body for item in items]
            for start in range(0, len(bodies), _ITEMS_A_CHUNK):
                chunks += (before, between.join(bodies[start : start + _ITEMS_A_CHUNK]))
                before = between
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


class VersionOutput(PlainOutput):
    """The objects themselves, in a version that they are not stored in."""

    def __init__(self, version: ShownVersion) -> None:
        self._version = version

    def single(self, kind: Kind, body: bytes) -> Sequence[bytes]:
        return super().single(kind, self._version.converted(body))

    def stored(self, kind: Kind, item: Item) -> Sequence[bytes]:
        return super().single(kind, self._version.body(item))

    async def listing(self, kind: Kind, listing: Listing) -> Sequence[bytes]:
        return await super().listing(kind, await self._converted(listing))

    async def _converted(self, listing: Listing) -> Listing:
        converted: list[Item] = []
        async for items in slices(listing.items, _TREES_A_SLICE):
            converted += [self._version.item(item) for item in items]
        return replace(listing, items=converted)

    def events(self, kind: Kind) -> EventEncoder:
        return _VersionEvents(kind, self._version)


class CustomOutput(VersionOutput):
    """Custom resources themselves, which tell their type even in a list, as what has no Go type does."""

    async def listing(self, kind: Kind, listing: Listing) -> Sequence[bytes]:
        metadata = _list_metadata(listing)
        if not listing.continue_token:
            metadata = b'{"continue":"",' + metadata[1:]
        return await self._listed(kind, await self._converted(listing), type_prefix(kind), metadata)


class _VersionEvents(_PlainEvents):
    def __init__(self, kind: Kind, version: ShownVersion) -> None:
        super().__init__(kind)
        self.key = f"plain {version.api_version}"
        self._version = version

    def frame(self, event_type: str, item: Item, *, first: bool) -> bytes:
        return super().frame(event_type, self._version.item(item), first=first)


def _list_metadata(listing: Listing) -> bytes:
    """The metadata of a collection."""
    if listing.revision is None:
        return b"{}"
    parts = [b'{"resourceVersion":"%d"' % listing.revision]
    if listing.continue_token:
        parts.append(b',"continue":"%b"' % listing.continue_token.encode())
        if listing.remaining is not None:
            parts.append(b',"remainingItemCount":%d' % listing.remaining)
    parts.append(b"}")
    return b"".join(parts)


def bookmark(kind: Kind, revision: int, *, ends_initial_events: bool = False) -> Item:
    """What a bookmark shows: an object of `kind` that tells nothing but how far the stream has come."""
    tree: dict[str, Any] = {"metadata": {}}
    if kind.definition:  # else nothing is always written
        Schemas.load().walker(kind.definition).walk(tree)
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if ends_initial_events:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    body = encode({"metadata": metadata, **{name: value for name, value in tree.items() if name != "metadata"}})
    return Item("", "", "", revision, body[1:], {}, {})


class MetadataOutput(JSONOutput):
    """The metadata alone, as PartialObjectMetadata of meta.k8s.io/`version`."""

    def __init__(self, version: str, *, lists: bool) -> None:
        self._version = version
        self._lists = lists  # the metadata of a list was asked for, as which no event can be shown

    def single(self, kind: Kind, body: bytes) -> Sequence[bytes]:
        return (encode(partial(decode_body(body), self._version, kind=kind)),)

    def stored(self, kind: Kind, item: Item) -> Sequence[bytes]:
        return self.single(kind, item.body)

    async def listing(self, kind: Kind, listing: Listing) -> Sequence[bytes]:
        parts = _Parts()
        async for items in slices(listing.items, _TREES_A_SLICE):
            objects = [decode_body(item.body) for item in items]
            if parts.begun:
                parts.go_on([partial(obj, self._version, kind=kind) for obj in objects])
            else:
                parts.begin(partial_list(objects, list_meta(listing), self._version, kind=kind))
        return parts.chunks

    def events(self, kind: Kind) -> EventEncoder:
        version = self._version

        def metadata(item: Item, first: bool) -> dict[str, Any]:
            return partial(decode_body(item.body), version, kind=kind)

        if self._lists:
            return NoEvents()
        return _Transformed(f"metadata {version}", metadata)


class NoEvents:
    """Leaves out every event, as upstream does where it can't show one."""

    key = "none"

    def frame(self, event_type: str, item: Item, *, first: bool) -> bytes:
        return b""


class TableOutput(JSONOutput):
    """Rows of a table of meta.k8s.io/`version`; `now` says what time it is, in seconds since the epoch, for ages.

    Cells are made of objects as they are stored; `shown` is the version in which rows carry them, where it is another.
    """

    def __init__(
        self, include: IncludeObject, version: str, now: Callable[[], float], shown: Version | None = None
    ) -> None:
        self._include = include
        self._version = version
        self._now = now
        self._shown = shown
        self._rows_of = shown.api_version if shown is not None else ""  # the version that rows are of

    def single(self, kind: Kind, body: bytes) -> Sequence[bytes]:
        return self._single(kind, decode_body(body))

    def stored(self, kind: Kind, item: Item) -> Sequence[bytes]:
        return self._single(kind, self._decoded(item))

    def _single(self, kind: Kind, tree: dict[str, Any]) -> Sequence[bytes]:
        return (encode(self._table(kind, [tree], ListMeta(tree["metadata"].get("resourceVersion", "")))),)

    def _decoded(self, item: Item) -> dict[str, Any]:
        """The object that cells are made of."""
        return decode_body(item.body)

    async def listing(self, kind: Kind, listing: Listing) -> Sequence[bytes]:
        parts = _Parts()
        size = len(listing.items) if kind.resource.kind in SORTED_KINDS else _TREES_A_SLICE
        async for items in slices(listing.items, size):
            objects = [self._decoded(item) for item in items]
            shown = self._table(kind, objects, list_meta(listing), headers=not parts.begun)
            if parts.begun:
                parts.go_on(shown["rows"])
            else:
                parts.begin(shown)
        return parts.chunks

    def events(self, kind: Kind) -> EventEncoder:
        def rows(item: Item, first: bool) -> dict[str, Any]:
            return self._table(kind, [self._decoded(item)], ListMeta(str(item.revision)), headers=first)

        return _Transformed(f"table {self._include} {self._version} {self._rows_of}", rows)

    def _table(
        self, kind: Kind, objects: list[dict[str, Any]], list_meta: ListMeta, *, headers: bool = True
    ) -> dict[str, Any]:
        from hyperkube_apiserver.printers.table import table  # the printers of all kinds, for the first of them

        return table(
            kind,
            objects,
            list_meta,
            now=self._now(),
            include=self._include,
            version=self._version,
            headers=headers,
            shown=self._shown.from_stored if self._shown is not None else None,
        )


class CustomTableOutput(TableOutput):
    """The same of custom resources, whose definition says what the cells are, in the version that is shown."""

    def __init__(
        self,
        include: IncludeObject,
        version: str,
        now: Callable[[], float],
        shown: ShownVersion,
        schema: CustomSchema,
    ) -> None:
        super().__init__(include, version, now)
        self._rows_of = shown.api_version
        self._in_version = shown
        self._schema = schema

    def _decoded(self, item: Item) -> dict[str, Any]:
        return decode_body(self._in_version.body(item))

    def _table(
        self, kind: Kind, objects: list[dict[str, Any]], list_meta: ListMeta, *, headers: bool = True
    ) -> dict[str, Any]:
        from hyperkube_apiserver.printers.custom import custom_table

        return custom_table(
            kind,
            objects,
            list_meta,
            columns=self._schema.columns,
            rows=self._schema.rows(objects, now=self._now()),
            include=self._include,
            version=self._version,
            headers=headers,
        )


class _Transformed:
    """Frames events whose objects are made into something else."""

    def __init__(self, key: str, transform: Callable[[Item, bool], dict[str, Any]]) -> None:
        self.key = key
        self._transform = transform

    def frame(self, event_type: str, item: Item, *, first: bool) -> bytes:
        return chunk(encode({"type": event_type, "object": self._transform(item, first)}) + b"\n")


class _Parts:
    """An object whose last field is a long list, encoded part by part."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    @property
    def begun(self) -> bool:
        return bool(self.chunks)

    def begin(self, tree: Mapping[str, Any]) -> None:
        """Encode the object with the begin of its list; one that has null there is all."""
        encoded = encode(tree)
        self.chunks = [encoded[:-2], b"]}"] if encoded.endswith(b"]}") else [encoded]

    def go_on(self, items: Sequence[Any]) -> None:
        """Encode some more of its list."""
        self.chunks[-1:] = (b",", encode(items)[1:-1], self.chunks[-1])


def list_meta(listing: Listing) -> ListMeta:
    revision = "" if listing.revision is None else str(listing.revision)
    return ListMeta(revision, listing.continue_token, listing.remaining)


_PLAIN = PlainOutput()


def output_for(
    representation: Representation,
    query: Query,
    now: Callable[[], float],
    version: ShownVersion | None = None,
    schema: CustomSchema | None = None,
) -> Output:
    """The output for what was negotiated; `version` is that of a kind which is stored in another.

    `schema` is that of a custom resource.
    """
    if representation.media_type == PROTOBUF:
        from hyperkube_apiserver.handlers.protobufoutput import protobuf_output  # few ask for it

        return protobuf_output(representation, version)
    match representation.form:
        case Form.OBJECT:
            if version is None:
                return _PLAIN
            return VersionOutput(version) if schema is None else CustomOutput(version)
        case Form.TABLE:
            include = include_object(query.get("includeObject", [""])[0])
            if schema is not None and version is not None:
                return CustomTableOutput(include, representation.version, now, version, schema)
            return TableOutput(include, representation.version, now, version if isinstance(version, Version) else None)
        case _:
            return MetadataOutput(representation.version, lists=representation.form is Form.METADATA_LIST)
