"""Who owns which fields of an object, kept up to date by every write, and the merge of what is applied.

A write that is no apply makes its manager the owner of what it changed, and takes that from everybody else. An apply
makes its manager the owner of all that its configuration mentions, and of nothing that it mentioned before; it is
refused where it would change what others own, unless it is forced.
Source: sigs.k8s.io/structured-merge-diff/v6/merge (update.go), k8s.io/apimachinery/pkg/util/managedfields/internal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.fields import lastapplied
from hyperkube_machinery.fields.compare import UNOWNED
from hyperkube_machinery.fields.conflicts import Conflicts, conflicts_of
from hyperkube_machinery.fields.entries import (
    APPLY,
    UPDATE,
    BadEntries,
    Entry,
    Key,
    Owners,
    capped,
    entry_of,
    is_reset,
    owners_of,
    read_owners,
    sorted_entries,
)
from hyperkube_machinery.fields.merge import merge
from hyperkube_machinery.fields.prune import Convert, prune, reconciled
from hyperkube_machinery.fields.sets import FieldSet, difference, has, intersection, recursive_difference, union
from hyperkube_machinery.fields.shapes import BadItem
from hyperkube_machinery.fields.typed import BadValue, check, field_set
from hyperkube_machinery.fields.typings import BuiltIn, Typing
from hyperkube_machinery.remembering import Remembered
from hyperkube_machinery.schema import WrongType

__all__ = ["Ownership", "Writer"]

_BEFORE_FIRST_APPLY = "before-first-apply"
_KUBECTL = "kubectl"

Tree = dict[str, Any]
_Sets = tuple[FieldSet, FieldSet]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes, what of the object, and when."""

    manager: str
    now: str  # RFC 3339, seconds
    subresource: str = ""
    # The fields that this way of writing leaves as they were: the same for all that write through one subresource.
    resets: FieldSet = field(default_factory=dict)

    def key(self, operation: str, api_version: str) -> Key:
        version = "" if operation == APPLY else api_version
        return Key(self.manager or "unknown", operation, version, self.subresource)


def _unserved(tree: Tree, api_version: str) -> Tree:
    raise LookupError(api_version)


class Ownership:
    """Ownership in the objects of one kind, written in one of its versions.

    `convert` makes an object what it is in another version of its kind, and raises LookupError for a version that is
    not served: what its owners own is forgotten. `typing` stands for `definition` where a kind has none.
    """

    def __init__(
        self,
        definition: str,
        api_version: str,
        kind: str,
        *,
        convert: Convert = _unserved,
        typing: Typing | None = None,
    ) -> None:
        self._api_version = api_version
        self._kind = kind
        self._convert = convert
        self._typing = typing or BuiltIn(definition, api_version, kind)
        self._compare = self._typing.compare(api_version)
        self._empty = self._typing.empty
        self._of_templates: Remembered[FieldSet] = Remembered()

    def updated(self, old: Tree | None, new: Tree, writer: Writer) -> list[Entry] | None:
        """The entries of `new`, which `writer` puts in the place of `old`; None if nobody owns anything.

        If nothing of the object changes they are the old ones, and the same list. Who wrote an object whose owners are
        not known is not recorded either. Nor is anybody where the items of a list can't be told apart.
        """
        try:
            return self._updated(old, new, writer)
        except BadItem:
            return None

    def _updated(self, old: Tree | None, new: Tree, writer: Writer) -> list[Entry] | None:
        sent = new["metadata"].get("managedFields")
        if old is None:
            return self._recorded(self._empty, new, _read(sent), writer) if sent else self._first(new, writer)
        stored: list[Entry] | None = old["metadata"].get("managedFields")
        if writer.subresource or sent is None or sent is stored or sent == stored:
            return self._recorded(old, new, owners_of(stored), writer, stored) if stored else None
        if is_reset(sent):
            return None
        owners = self._reconciled(_read(sent), old) or owners_of(stored)
        return self._recorded(old, new, owners, writer) if owners else None

    def _first(self, new: Tree, writer: Writer) -> list[Entry] | None:
        """The one entry of a new object. What has owners is made of a template, as most objects are that come often."""
        metadata = new["metadata"]
        if not metadata.get("ownerReferences"):
            fields, _ = self._changes(self._empty, new, writer.resets)
        else:
            # The name is nobody's, so it may be another.
            encoded = encode({**new, "metadata": {**metadata, "name": ""}, "written through": writer.subresource})
            known = self._of_templates.get(encoded)
            if known is None:
                known, _ = self._changes(self._empty, new, writer.resets)
                self._of_templates.keep(encoded, known)
            fields = known
        key = writer.key(UPDATE, self._api_version)
        return [entry_of(key, self._api_version, fields, writer.now)] if fields else None

    def _recorded(
        self, old: Tree, new: Tree, owners: Owners, writer: Writer, stored: list[Entry] | None = None
    ) -> list[Entry] | None:
        """The entries of `owners` after `writer` made `new` of `old`; `stored`, if given, are those from before."""
        sets = self._changes(old, new, writer.resets)
        left = self._taken(owners, old, new, sets, writer) if owners else owners
        changed, removed = sets
        if stored is not None and not changed and not removed and len(left) == len(stored):
            return stored
        if changed:
            key = writer.key(UPDATE, self._api_version)
            mine = left.get(key)
            fields = changed if mine is None else union(mine["fieldsV1"], changed)
            left[key] = entry_of(key, self._api_version, fields, writer.now)
        return sorted_entries(capped(left)) or None

    def _changes(self, old: Tree, new: Tree, resets: FieldSet) -> _Sets:
        changed, removed = self._compare(old, new)
        return recursive_difference(changed, resets), recursive_difference(removed, resets)

    def _taken(
        self, owners: Owners, old: Tree, new: Tree, sets: _Sets, writer: Writer, but: Key | None = None
    ) -> Owners:
        """`owners` without what was changed or removed; `but` keeps what it has."""
        left: Owners = {}
        by_version: dict[str, _Sets | None] = {self._api_version: sets}
        for key, entry in owners.items():
            version, fields = entry["apiVersion"], entry["fieldsV1"]
            if key != but:
                in_version = self._sets_in(version, old, new, writer.resets, by_version)
                if in_version is None:
                    continue
                changed, removed = in_version
                rest = difference(difference(fields, changed), removed)
                if rest is not fields:
                    entry = entry_of(key, version, rest, entry.get("time"))
                    fields = rest
            if fields:
                left[key] = entry
        return left

    def _sets_in(
        self, version: str, old: Tree, new: Tree, resets: FieldSet, known: dict[str, _Sets | None]
    ) -> _Sets | None:
        """What was changed and removed, as `version` sees it; None if it is not served."""
        if version not in known:
            try:
                compare = self._typing.compare(version)
                changed, removed = compare(self._convert(old, version), self._convert(new, version))
                known[version] = (recursive_difference(changed, resets), recursive_difference(removed, resets))
            except LookupError:
                known[version] = None
        return known[version]

    def _in(self, tree: Tree, version: str) -> Tree:
        converted: Tree = self._convert(tree, version)
        return converted

    def _reconciled(self, owners: Owners, live: Tree) -> Owners:
        """`owners` as the schema has their fields now, without those in versions that are not served."""
        result: Owners = {}
        for key, entry in owners.items():
            version = entry["apiVersion"]
            try:
                shape = self._typing.shape(version)
                if version != self._api_version:
                    self._convert(live, version)
            except LookupError:
                continue
            fields = reconciled(entry["fieldsV1"], shape)
            if fields is not entry["fieldsV1"]:
                entry = entry_of(key, version, fields, entry.get("time"))
            result[key] = entry
        return result

    def applied(self, live: Tree | None, config: Tree, writer: Writer, *, force: bool) -> Tree:
        """`live`, or a new object, with `config` merged into it and its owners recorded. `live` stays as it was.

        Raises APIError: 400 for what is no configuration for this kind, 409 for conflicts, 500 for one that does not
        match the schema.
        """
        self._check_config(config)
        base = self._empty if live is None else _without_entries(live)
        owners = owners_of(live["metadata"].get("managedFields") if live is not None else None)
        try:
            if not owners and live is not None:
                before = Writer(
                    manager=_BEFORE_FIRST_APPLY, now=writer.now, subresource=writer.subresource, resets=writer.resets
                )
                owners = self._of_existing(base, before)
            merged, owners = self._apply_past_client(base, config, owners, writer, force=force)
        except Conflicts as conflicts:
            raise conflicts.refusal() from None
        except BadItem as error:  # of the live object, for the configuration was checked
            raise _failed(f"failed to create typed live object ({_name_of(base)}): {error}") from None
        if writer.manager == _KUBECTL:
            lastapplied.keep_up(merged, config)
        if owners:
            merged["metadata"]["managedFields"] = sorted_entries(owners)
        return merged

    def _of_existing(self, base: Tree, before: Writer) -> Owners:
        """Who owns what was there before anybody applied."""
        try:
            return owners_of(self._recorded(self._empty, base, {}, before))
        except BadItem as error:
            what = f"failed to convert new object ({_name_of(base)}) to smd typed: {error}"
            raise _failed(f"failed to create manager for existing fields: {what}") from None

    def _check_config(self, config: Tree) -> None:
        version, kind = _text(config, "apiVersion"), _text(config, "kind")
        if (version, kind) != (self._api_version, self._kind):
            raise APIError.bad_request(f"invalid object type: {_go_type(version, kind)}")
        metadata = config.get("metadata")
        if isinstance(metadata, dict) and isinstance(metadata.get("managedFields"), list):
            raise APIError.bad_request("metadata.managedFields must be nil")

    def _apply_past_client(
        self, live: Tree, config: Tree, owners: Owners, writer: Writer, *, force: bool
    ) -> tuple[Tree, Owners]:
        """Apply; kubectl may take over what it applied from the client's side before, so far as nobody changed it."""
        try:
            return self._apply(live, config, owners, writer, force=force)
        except Conflicts as conflicts:
            if writer.manager != _KUBECTL:
                raise
            allowed = lastapplied.still_as_applied(
                live, self._api_version, self._typing.shape(self._api_version), self._compare
            )
            if allowed is None:
                raise
            rest = [conflict for conflict in conflicts.conflicts if not has(allowed, conflict[1])]
            if rest:
                raise Conflicts(rest) from None
        return self._apply(live, config, owners, writer, force=True)

    def _apply(self, live: Tree, config: Tree, owners: Owners, writer: Writer, *, force: bool) -> tuple[Tree, Owners]:
        version, shape = self._api_version, self._typing.shape(self._api_version)
        try:
            check(config, shape)
        except BadValue as error:
            raise _failed(f"failed to create typed patch object ({_name_of(config)}): {error}") from None
        owners = self._reconciled(owners, live)
        merged = merge(live, config, shape)
        key = writer.key(APPLY, version)
        last = owners.get(key)
        fields = recursive_difference(field_set(config, shape), writer.resets)
        owners[key] = entry_of(key, version, fields, None if last is None else last.get("time"))
        # Who withdraws nothing takes nothing away.
        if last is not None and (last["apiVersion"] != version or difference(last["fieldsV1"], fields)):
            merged = prune(
                merged,
                last=last["fieldsV1"],
                last_version=last["apiVersion"],
                version=version,
                owned=[(entry["apiVersion"], entry["fieldsV1"]) for entry in owners.values()],
                shape_of=self._typing.shape,
                convert=self._in,
            )
        sets = self._changes(live, merged, writer.resets)
        if not force:
            self._refuse_conflicts(owners, live, merged, sets, writer, key)
        owners = self._taken(owners, live, merged, sets, writer, but=key)
        is_changed = merged != live
        if key in owners and (fields := difference(owners[key]["fieldsV1"], UNOWNED)):
            time = writer.now if is_changed else owners[key].get("time")
            owners[key] = entry_of(key, version, fields, time)
        else:
            owners.pop(key, None)
        return (self._typed(merged, config) if is_changed else _copied(live)), owners

    def _refuse_conflicts(
        self, owners: Owners, old: Tree, new: Tree, sets: _Sets, writer: Writer, applier: Key
    ) -> None:
        by_version: dict[str, _Sets | None] = {self._api_version: sets}
        found: dict[Key, FieldSet] = {}
        for key, entry in owners.items():
            if key == applier:
                continue
            in_version = self._sets_in(entry["apiVersion"], old, new, writer.resets, by_version)
            if in_version is not None and (fields := intersection(entry["fieldsV1"], in_version[0])):
                found[key] = fields
        if found:
            raise conflicts_of(found)

    def _typed(self, merged: Tree, config: Tree) -> Tree:
        """What was merged, as an object of its kind."""
        tree = _copied(merged)
        try:
            self._typing.settle(tree)
        except WrongType as error:
            raise _failed(
                f"failed to convert new object ({_name_of(config)}) to proper version: "
                f"unable to convert unstructured object to {_go_type(self._api_version, self._kind)}: {error}"
            ) from None
        return tree


def _read(sent: Any) -> Owners:
    """The owners that a client names; none if what it says makes no sense."""
    if not sent or is_reset(sent):
        return {}
    try:
        return read_owners(sent)
    except BadEntries:
        return {}


def _without_entries(tree: Tree) -> Tree:
    metadata = {name: value for name, value in tree["metadata"].items() if name != "managedFields"}
    return {**tree, "metadata": metadata}


def _copied(tree: Tree) -> Tree:
    return {**tree, "metadata": dict(tree["metadata"])}


def _text(tree: Mapping[str, Any], name: str) -> str:
    value = tree.get(name)
    return value if isinstance(value, str) else ""


def _go_type(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    return f"{group}/{version}, Kind={kind}"


def _name_of(config: Tree) -> str:
    metadata = config.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    kind = _go_type(_text(config, "apiVersion"), _text(config, "kind"))
    return f"{_text(known, 'namespace')}/{_text(known, 'name')}; {kind}"


def _failed(message: str) -> APIError:
    """What goes wrong in applying is the server's fault to upstream."""
    return APIError.of(500, "", message)
