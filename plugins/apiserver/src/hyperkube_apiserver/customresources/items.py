"""Custom resources in their cache: bytes as they were stored, of whichever version and schema that was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from hyperkube_apiserver.representation import body_of, decode_body, decode_stored, with_version
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery.encoding import encode_as_go
from hyperkube_machinery.storage.interface import Entry

__all__ = ["CustomCache", "CustomItem"]

_METADATA = b'"metadata":{'

Tree = dict[str, Any]


class CustomItem(Item):
    """An object as it was stored; `body` is that of `api_version`."""

    __slots__ = ("api_version", "kind", "selected", "settled")

    def __init__(
        self,
        key: str,
        namespace: str,
        name: str,
        revision: int,
        body: bytes,
        labels: Mapping[str, str],
        fields: Mapping[str, str],
        *,
        kind: str,
        api_version: str,
    ) -> None:
        super().__init__(key, namespace, name, revision, body, labels, fields)
        self.kind = kind
        self.api_version = api_version
        self.selected: dict[str, Mapping[str, str]] | None = None  # by version, where fields are not those stored
        self.settled = False  # whether it is known that its schema has it be as it was stored

    def tree(self) -> Tree:
        """The object with its type; it is the caller's."""
        return {"kind": self.kind, "apiVersion": self.api_version, **decode_body(self.body)}

    def at(self, revision: int) -> Item:
        made = CustomItem(
            self.key,
            self.namespace,
            self.name,
            revision,
            with_version(self.body, revision),
            self.labels,
            self.fields,
            kind=self.kind,
            api_version=self.api_version,
        )
        made.settled, made.selected = self.settled, self.selected
        if self.versions is not None:
            # What was converted once, perhaps by somebody else, need not be asked for again.
            own = self.body
            made.versions = {
                version: made.body if body is own else with_version(body, revision)
                for version, body in self.versions.items()
            }
        return made


class CustomCache(WatchCache):
    """The objects of one definition, in all versions that they were stored in."""

    def announce(self, key: str, stored: bytes, tree: Tree) -> None:
        """The same, unless `tree` is of another version than what is stored: its fields may be others."""
        if tree.get("apiVersion") == self.kind.resource.api_version:
            super().announce(key, stored, tree)

    def item_of(self, entry: Entry) -> Item:
        stored = entry.value
        found = self._selected_by(entry)
        kind, api_version, length = _type_of(stored)
        if length < 0:  # laid out by somebody else
            tree = decode_stored(stored)
            kind, api_version = tree.pop("kind"), tree.pop("apiVersion")
            metadata = tree.pop("metadata")
            stored, length = encode_as_go({"metadata": metadata, **tree}), 1
        labels, fields = found
        namespace = fields.get("metadata.namespace", "")
        return CustomItem(
            entry.key,
            namespace,
            fields["metadata.name"],
            entry.mod_revision,
            body_of(stored, length, entry.mod_revision),
            labels,
            fields,
            kind=kind,
            api_version=api_version,
        )


def _type_of(stored: bytes) -> tuple[str, str, int]:
    """Kind and version of what is stored, and where its body begins; -1 where it isn't laid out as here."""
    end = stored.find(_METADATA)
    if end > 0 and stored.startswith(b'{"kind":"'):
        try:
            head = orjson.loads(stored[: end - 1] + b"}")
            if len(head) == 2:
                return head["kind"], head["apiVersion"], end
        except (orjson.JSONDecodeError, KeyError):
            pass
    return "", "", -1
