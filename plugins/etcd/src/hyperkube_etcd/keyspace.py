"""What a request does to the keys: plain functions over a view of the store.

Source: go.etcd.io/etcd/server/v3/etcdserver (apply.go, api/v3rpc/key.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter, eq, gt, lt, ne
from typing import Any

from hyperkube_etcd.failures import refusal
from hyperkube_machinery.etcdapi import TARGET
from hyperkube_machinery.storage.interface import Entry, Revision
from hyperkube_machinery.storage.views import View, WritingView

__all__ = [
    "adds",
    "bounds",
    "check_delete_range",
    "check_put",
    "check_range",
    "check_txn",
    "delete_range",
    "key_text",
    "kv",
    "put",
    "range_",
    "transact",
]

Tree = dict[str, Any]

_NUL = b"\0"
_ASCEND, _DESCEND = 1, 2
_BY_VALUE = 4
_SORTED_BY = [attrgetter(name) for name in ("key", "version", "create_revision", "mod_revision", "value")]
_COMPARED_BY = {
    TARGET["VERSION"]: ("version", 0),
    TARGET["CREATE"]: ("create_revision", 0),
    TARGET["MOD"]: ("mod_revision", 0),
    TARGET["LEASE"]: ("lease", 0),
}
_RESULTS = [eq, gt, lt, ne]
_FILTERS = (
    ("min_mod_revision", "mod_revision", True),
    ("max_mod_revision", "mod_revision", False),
    ("min_create_revision", "create_revision", True),
    ("max_create_revision", "create_revision", False),
)


def key_text(key: bytes) -> str:
    """A key as the store has it."""
    return key.decode("latin-1")


def bounds(key: bytes, end: bytes) -> tuple[str, str | None]:
    """Where a range begins, and ends; None is the end of all keys."""
    if not end:
        return key_text(key), key_text(key + _NUL)
    return key_text(key), None if end == _NUL else key_text(end)


def kv(entry: Entry) -> Tree:
    """An entry as a KeyValue."""
    return {
        "key": entry.key.encode("latin-1"),
        "create_revision": entry.create_revision,
        "mod_revision": entry.mod_revision,
        "version": entry.version,
        "value": entry.value,
        "lease": entry.lease,
    }


def _revision(view: View) -> Revision:
    """Of what the view shows, its own writes included."""
    changes = getattr(view, "changes", ())
    return Revision(view.revision + 1) if changes else view.revision


def range_(view: View, request: Tree) -> Tree:
    """The RangeResponse to a request."""
    start, end = bounds(request["key"], request["range_end"])
    limit, order, target = request["limit"], request["sort_order"], request["sort_target"]
    if target and not order:
        order = _ASCEND
    filters = [(name, low, request[field]) for field, name, low in _FILTERS if request[field]]
    chosen = order == _DESCEND or bool(target and order) or bool(filters)
    at = Revision(request["revision"]) if request["revision"] > 0 else None
    asked = -1 if request["count_only"] else 0 if chosen else limit
    values = not request["keys_only"] or target == _BY_VALUE
    found = view.range(start, end, limit=asked, revision=at, values=values)
    entries: Sequence[Entry] = found.entries
    for name, low, limit_revision in filters:
        entries = [one for one in entries if _within(getattr(one, name), limit_revision, low=low)]
    if order and chosen:
        entries = sorted(entries, key=_SORTED_BY[target], reverse=order == _DESCEND)
    shown = entries[:limit] if limit else entries
    more = len(shown) < len(entries) or (not chosen and not request["count_only"] and found.count > len(shown))
    kvs = [kv(entry) for entry in shown]
    if request["keys_only"]:
        for one in kvs:
            one["value"] = b""
    return {"header": {"revision": _revision(view)}, "kvs": kvs, "more": more, "count": found.count}


def _within(revision: int, limit: int, *, low: bool) -> bool:
    return revision >= limit if low else revision <= limit


def put(view: WritingView, request: Tree) -> Tree:
    """Do a PutRequest."""
    key, lease, value = key_text(request["key"]), request["lease"], request["value"]
    previous = view.get(key) if request["prev_kv"] or request["ignore_value"] or request["ignore_lease"] else None
    if (request["ignore_value"] or request["ignore_lease"]) and previous is None:
        raise refusal("key not found")
    if request["ignore_value"] and previous is not None:
        value = previous.value
    if request["ignore_lease"] and previous is not None:
        lease = previous.lease
    if lease and view.ttl(lease) is None:
        raise refusal("requested lease not found")
    change = view.put(key, value, lease=lease)
    answer: Tree = {"header": {"revision": change.revision}}
    if request["prev_kv"] and change.previous is not None:
        answer["prev_kv"] = kv(change.previous)
    return answer


def delete_range(view: WritingView, request: Tree) -> Tree:
    """Do a DeleteRangeRequest."""
    start, end = bounds(request["key"], request["range_end"])
    keys = [start] if not request["range_end"] else [one.key for one in view.range(start, end, values=False).entries]
    gone = [change.previous for key in keys if (change := view.delete(key)) is not None]
    answer: Tree = {"header": {"revision": _revision(view)}, "deleted": len(gone)}
    if request["prev_kv"]:
        answer["prev_kvs"] = [kv(entry) for entry in gone if entry is not None]
    return answer


def transact(view: WritingView, request: Tree) -> Tree:
    """Do a TxnRequest that was checked."""
    return {**_nested(view, request), "header": {"revision": _revision(view)}}


def _nested(view: WritingView, request: Tree) -> Tree:
    """Do a transaction that another one has as an operation: its header says nothing, in etcd neither."""
    succeeded = all(_holds(view, compare) for compare in request["compare"])
    responses = [_done(view, op) for op in request["success" if succeeded else "failure"]]
    return {"header": {}, "succeeded": succeeded, "responses": responses}


def _done(view: WritingView, op: Tree) -> Tree:
    for name, function in (
        ("range", range_),
        ("put", put),
        ("delete_range", delete_range),
        ("txn", _nested),
    ):
        if (request := op[f"request_{name}"]) is not None:
            return {f"response_{name}": function(view, request)}
    return {}


def _holds(view: View, compare: Tree) -> bool:
    """Whether a comparison holds, for all of a range."""
    key, end = compare["key"], compare["range_end"]
    if end:
        entries: Sequence[Entry | None] = view.range(*bounds(key, end)).entries
        if not entries:
            # What is missing has no value to compare; all else of it is 0.
            return compare["target"] != TARGET["VALUE"] and _compared(None, compare)
    else:
        entries = [view.get(key_text(key))]
    return all(_compared(entry, compare) for entry in entries)


def _compared(entry: Entry | None, compare: Tree) -> bool:
    result = _RESULTS[compare["result"]]
    if compare["target"] == TARGET["VALUE"]:
        return entry is not None and bool(result(entry.value, compare["value"]))
    name, missing = _COMPARED_BY[compare["target"]]
    return bool(result(missing if entry is None else getattr(entry, name), compare[name]))


def adds(request: Tree) -> bool:
    """Whether a TxnRequest may take room."""
    ops = [*request["success"], *request["failure"]]
    return any(op["request_put"] is not None or (op["request_txn"] and adds(op["request_txn"])) for op in ops)


# What is refused before it is looked at.


def check_range(request: Tree) -> None:
    if not request["key"]:
        raise refusal("key is not provided")
    if request["sort_order"] not in (0, 1, 2) or request["sort_target"] not in range(5):
        raise refusal("invalid sort option")


def check_put(request: Tree) -> None:
    if not request["key"]:
        raise refusal("key is not provided")
    if request["ignore_value"] and request["value"]:
        raise refusal("value is provided")
    if request["ignore_lease"] and request["lease"]:
        raise refusal("lease is provided")


def check_delete_range(request: Tree) -> None:
    if not request["key"]:
        raise refusal("key is not provided")


def check_txn(request: Tree, most: int) -> None:
    """Raise CallFailed for what is no transaction, or has more than `most` operations."""
    if max(len(request["compare"]), len(request["success"]), len(request["failure"])) > most:
        raise refusal("too many operations in txn request")
    if any(not compare["key"] for compare in request["compare"]):
        raise refusal("key is not provided")
    for branch in ("success", "failure"):
        for op in request[branch]:
            _check_op(op, most)
        _check_overlaps(request[branch])


def _check_op(op: Tree, most: int) -> None:
    if op["request_range"] is not None:
        check_range(op["request_range"])
    elif op["request_put"] is not None:
        check_put(op["request_put"])
    elif op["request_delete_range"] is not None:
        check_delete_range(op["request_delete_range"])
    elif op["request_txn"] is not None:
        check_txn(op["request_txn"], most)
    else:
        raise refusal("key not found")


def _check_overlaps(ops: Iterable[Tree]) -> tuple[set[bytes], list[tuple[bytes, bytes]]]:
    """The keys that are put and the ranges that are deleted; raises where both meet, or a key is put twice."""
    puts: set[bytes] = set()
    deleted: list[tuple[bytes, bytes]] = []
    for op in ops:
        if (removed := op["request_delete_range"]) is not None:
            end = removed["range_end"] or removed["key"] + _NUL
            deleted.append((removed["key"], end))
        if (nested := op["request_txn"]) is not None:
            merged: set[bytes] = set()
            for branch in ("success", "failure"):
                more, ranges = _check_overlaps(nested[branch])
                merged |= more
                deleted += ranges
            if merged & puts:
                raise refusal("duplicate key given in txn request")
            puts |= merged
        if (written := op["request_put"]) is not None:
            if written["key"] in puts:
                raise refusal("duplicate key given in txn request")
            puts.add(written["key"])
    for start, end in deleted:
        if any(key >= start and (end == _NUL or key < end) for key in puts):
            raise refusal("duplicate key given in txn request")
    return puts, deleted
