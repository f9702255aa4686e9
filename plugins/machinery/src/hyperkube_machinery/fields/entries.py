"""The entries of metadata.managedFields: who owns which fields.

An entry is known by its manager, its operation, its subresource, and, unless it was applied, its version; of two that
are known by the same the later counts. Entries are plain trees that nothing changes in place: one that is to be another
is made anew.
Source: k8s.io/apimachinery/pkg/util/managedfields/internal (managedfields.go, capmanagers.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.fields.sets import LEAF, BadSet, FieldSet, read_set, union

__all__ = [
    "APPLY",
    "UPDATE",
    "BadEntries",
    "Entry",
    "Key",
    "Owners",
    "capped",
    "entry_of",
    "is_reset",
    "key_of",
    "owners_of",
    "read_owners",
    "same_but_times",
    "sorted_entries",
]

APPLY, UPDATE = "Apply", "Update"
_MOST_UPDATERS = 10
_ANCIENT = "ancient-changes"

Entry = dict[str, Any]


class Key(NamedTuple):
    """What an entry is known by."""

    manager: str
    operation: str
    api_version: str  # empty if applied
    subresource: str

    @property
    def text(self) -> str:
        """By which owners are sorted in messages."""
        names = ("manager", "operation", "apiVersion", "subresource")
        return encode({name: value for name, value in zip(names, self, strict=True) if value}).decode()


Owners = dict[Key, Entry]


class BadEntries(ValueError):
    """What a client sent as managedFields is none."""


def key_of(entry: Entry) -> Key:
    operation = entry.get("operation", "")
    version = "" if operation == APPLY else entry.get("apiVersion", "")
    return Key(entry.get("manager", ""), operation, version, entry.get("subresource", ""))


def entry_of(key: Key, api_version: str, fields: FieldSet, time: str | None) -> Entry:
    """An entry as it is stored; `time` is RFC 3339, None if nobody knows."""
    entry: Entry = {}
    if key.manager:
        entry["manager"] = key.manager
    entry["operation"] = key.operation
    entry["apiVersion"] = api_version
    if time is not None:
        entry["time"] = time
    entry["fieldsType"] = "FieldsV1"
    entry["fieldsV1"] = fields
    if key.subresource:
        entry["subresource"] = key.subresource
    return entry


def owners_of(entries: Iterable[Entry] | None) -> Owners:
    """Entries that were stored, by their keys."""
    return {key_of(entry): entry for entry in entries or ()}


def read_owners(entries: Sequence[Entry]) -> Owners:
    """Entries that a client sent, made canonical. Raises BadEntries."""
    owners: Owners = {}
    for index, entry in enumerate(entries):
        if entry.get("operation") not in (APPLY, UPDATE):
            raise BadEntries("operation must be `Apply` or `Update`")
        if not entry.get("apiVersion"):
            raise BadEntries("apiVersion must not be empty")
        kind = entry.get("fieldsType") or ""
        if not kind:
            raise BadEntries(f"missing fieldsType in managed fields entry {index}")
        if kind != "FieldsV1":
            raise BadEntries(f'invalid fieldsType "{kind}" in managed fields entry {index}')
        try:
            fields = read_set(entry.get("fieldsV1"))
        except BadSet as error:
            raise BadEntries(f"error decoding set: {error}") from None
        key = key_of(entry)
        owners[key] = entry_of(key, entry["apiVersion"], fields, entry.get("time"))
    return owners


def is_reset(entries: Any) -> bool:
    """Whether a client asks to forget who owns what."""
    return isinstance(entries, list) and entries in ([], [{}])


def sorted_entries(owners: Mapping[Key, Entry]) -> list[Entry]:
    """As they are stored: what was applied first, each of the two by time."""
    if len(owners) == 1:
        return list(owners.values())
    return sorted(owners.values(), key=_order)


def _order(entry: Entry) -> tuple[str, ...]:
    get = entry.get
    # Times are all of the same form, so that they sort as texts.
    return (entry["operation"], get("time", ""), get("manager", ""), entry["apiVersion"], get("subresource", ""))


def same_but_times(one: Sequence[Entry] | None, other: Sequence[Entry] | None) -> bool:
    """Whether entries differ in their times alone."""
    if not one or not other or len(one) != len(other):
        return False
    return all(_without_time(a) == _without_time(b) for a, b in zip(one, other, strict=True))


def _without_time(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if name != "time"}


def capped(owners: Owners) -> Owners:
    """`owners` with the oldest of many updaters made one, so that writers with ever new names don't fill an object."""
    updaters = [key for key, entry in owners.items() if entry["operation"] == UPDATE]
    surplus = len(updaters) - _MOST_UPDATERS
    if surplus <= 0:
        return owners
    updaters.sort(key=lambda key: (owners[key].get("time", ""), key.text))
    owners = dict(owners)
    firsts: dict[str, Key] = {}
    for key in updaters:
        if surplus <= 0:
            break
        entry = owners.get(key)
        if entry is None:
            continue
        version = entry["apiVersion"]
        bucket = Key(_ANCIENT, UPDATE, version, "")
        first = firsts.setdefault(version, key)
        if first == key:
            continue
        fields = entry["fieldsV1"]
        if bucket in owners:
            fields = union(fields, owners[bucket]["fieldsV1"])
        else:
            fields = union(fields, owners.pop(first)["fieldsV1"])
        del owners[key]
        # The later of the times: nothing of what the bucket holds changed after it.
        owners[bucket] = entry_of(bucket, version, fields or LEAF, entry.get("time"))
        surplus -= 1
    return owners
