"""Objects that upstream's API servers have written, as this one writes them: so that it can take a cluster over.

Upstream stores built-in kinds as protobuf, and as JSON in another order of fields. What is written here upstream reads
as it is.
Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf (the envelope), k8s.io/apiserver/pkg/storage/value.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import orjson

from hyperkube_apiserver.storage.etcd.definitions import OLD, definition_from_v1beta1
from hyperkube_machinery.encoding import encode_as_go
from hyperkube_machinery.protobuf import PREFIX, BadProtobuf
from hyperkube_machinery.storage.interface import Change, Changes, Entry, Page, Revision, StaleRevision, Store

__all__ = ["ReadingStore", "readable"]

log = logging.getLogger(__name__)

_OURS = re.compile(rb'\{"kind":"[^"]*","apiVersion":"[^"]*","metadata":\{(?!"resourceVersion")')
_OLD_DEFINITION = b'{"kind":"CustomResourceDefinition","apiVersion":"%b"' % OLD.encode()


def readable(value: bytes) -> bytes:
    """A stored object as it is written here; anything else as it is."""
    if _OURS.match(value) and not value.startswith(_OLD_DEFINITION):
        return value
    if value.startswith(PREFIX):
        return _from_protobuf(value)
    if value.startswith(b"{"):
        return _from_json(value)
    return value


def _from_protobuf(value: bytes) -> bytes:
    from hyperkube_machinery.protobuf import decode_message, open_envelope
    from hyperkube_machinery.schema import Schemas, WrongType

    schemas = Schemas.load()
    try:
        envelope = open_envelope(value)
        definition = schemas.definition_of(envelope.api_version, envelope.kind)
        if definition is None:  # no object, but what upstream keeps beside them
            return value
        tree, _ = schemas.walker(definition).read(decode_message(schemas.table, definition, envelope.raw))
    except (BadProtobuf, WrongType) as exc:
        log.error("a stored object can't be read: %s", exc)
        return value
    return _ordered({**tree, "kind": envelope.kind, "apiVersion": envelope.api_version})


def _from_json(value: bytes) -> bytes:
    try:
        tree = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
    if not isinstance(tree.get("metadata"), dict) or "kind" not in tree or "apiVersion" not in tree:
        return value
    return _ordered(definition_from_v1beta1(tree) if tree["apiVersion"] == OLD else tree)


def _ordered(tree: dict[str, Any]) -> bytes:
    metadata = {name: value for name, value in tree.get("metadata", {}).items() if name != "resourceVersion"}
    rest = {name: value for name, value in tree.items() if name not in ("kind", "apiVersion", "metadata")}
    return encode_as_go({"kind": tree["kind"], "apiVersion": tree["apiVersion"], "metadata": metadata, **rest})


class ReadingStore:
    """A Store whose objects are all as they are written here."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.revision = store.revision
        self.create = store.create
        self.compact = store.compact
        self.check = store.check
        self.is_stale = store.is_stale

    async def get(self, key: str) -> Entry | None:
        entry = await self._store.get(key)
        return None if entry is None else _read(entry)

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, revision: Revision | None = None) -> Page:
        page = await self._store.range(prefix, after=after, limit=limit, revision=revision)
        return replace(page, entries=[_read(entry) for entry in page.entries])

    async def update(self, key: str, value: bytes, *, expected: Revision, ttl_seconds: float | None = None) -> Entry:
        try:
            return await self._store.update(key, value, expected=expected, ttl_seconds=ttl_seconds)
        except StaleRevision as exc:
            raise _stale(exc) from exc

    async def delete(self, key: str, *, expected: Revision) -> Revision:
        try:
            return await self._store.delete(key, expected=expected)
        except StaleRevision as exc:
            raise _stale(exc) from exc

    async def watch(self, prefix: str, *, after: Revision) -> AsyncGenerator[Changes, None]:
        async with aclosing(self._store.watch(prefix, after=after)) as batches:
            async for batch in batches:
                yield Changes([_change(change) for change in batch.changes], batch.revision)


def _stale(exc: StaleRevision) -> StaleRevision:
    return StaleRevision(exc.key, None if exc.current is None else _read(exc.current))


def _change(change: Change) -> Change:
    entry = None if change.entry is None else _read(change.entry)
    previous = None if change.previous is None else _read(change.previous)
    return Change(change.key, change.revision, entry, previous)


def _read(entry: Entry) -> Entry:
    value = readable(entry.value)
    return entry if value is entry.value else replace(entry, value=value)
