"""JSON patch (RFC 6902), as the API applies it.

Where its library departs from the RFC, so does this: indexes may count from the end (-1), `replace` of a key that is
missing adds it, and of a path's first part, before the first slash, nothing is read.
Source: gopkg.in/evanphx/json-patch.v4, k8s.io/apiserver/pkg/endpoints/handlers (patch.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from hyperkube_machinery.decoding import duplicate_fields
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.jsontext import BadJSON, is_too_deep, overflowing, parse_exactly
from hyperkube_machinery.schema.exact import Pairs, json_type, plain, quoted, type_error

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_COPIED_BYTES", "MAX_OPERATIONS", "REJECTED", "Inapplicable", "apply", "changed", "decode", "read"]

MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024  # by all `copy` operations of one patch

_FIELDS = ("op", "path", "from", "value")
_INDEX = re.compile(r"[+-]?[0-9]+", re.ASCII)
REJECTED = "the server rejected our request due to an error in our request"


def read(body: bytes, *, field_validation: str = "Warn") -> tuple[Callable[[dict[str, Any]], Any], list[str]]:
    """The change that a body asks for, and its unknown and duplicate fields.

    Raises APIError 400 for what is no patch, 413 for too many operations; the change raises 422 if it doesn't apply.
    """
    strict = field_validation != "Ignore"
    prefix = "error decoding patch: " if strict else ""
    try:
        operations = parse_exactly(body)
    except BadJSON as error:
        raise APIError.bad_request(f"{prefix}{error}") from None
    wrong, findings = _check(operations, strict=strict)
    if strict and not wrong and (number := overflowing(body)):
        wrong = type_error(f"number {number}", "float64", "jsonPatchOp", ["value"])
    if wrong:
        raise APIError.bad_request(f"{prefix}{wrong}")
    steps = plain(operations or [])
    if len(steps) > MAX_OPERATIONS:
        raise APIError.too_large(
            "Request entity is too large: The allowed maximum operations in a JSON patch is "
            f"{MAX_OPERATIONS}, got {len(steps)}"
        )
    return lambda document: apply(document, steps), findings if strict else []


def decode(body: bytes) -> list[Any]:
    """The operations of a patch that is no request of its own. Raises BadJSON in Go's words."""
    operations = parse_exactly(body)
    wrong, _ = _check(operations, strict=False)
    if wrong:
        raise BadJSON(wrong)
    decoded: list[Any] = plain(operations or [])
    return decoded


def _check(operations: Any, *, strict: bool) -> tuple[str, list[str]]:
    """What Go can't decode, else "", and the unknown and duplicate fields."""
    if operations is None:
        return "", []
    if not isinstance(operations, list) or isinstance(operations, Pairs):
        return type_error(json_type(operations), "[]handlers.jsonPatchOp" if strict else "jsonpatch.Patch"), []
    findings: dict[str, None] = {}
    wrong = ""
    for index, operation in enumerate(operations):
        if operation is None:
            continue
        if not isinstance(operation, Pairs):
            name = "handlers.jsonPatchOp" if strict else "jsonpatch.Operation"
            wrong = wrong or type_error(json_type(operation), name)
            continue
        seen: set[str] = set()
        for key, value in operation:
            where = f"[{index}].{key}"
            if key not in _FIELDS:
                findings[f"json patch unknown field {quoted(where)}"] = None
                continue
            if key in seen:
                findings[f"json patch duplicate field {quoted(where)}"] = None
            seen.add(key)
            if key == "value":
                findings.update(dict.fromkeys(f"json patch {text}" for text in duplicate_fields(value, where)))
            elif strict and value is not None and not isinstance(value, str):
                wrong = wrong or type_error(json_type(value), "string", "jsonPatchOp", [key])
    return wrong, list(findings)[:100]


def apply(document: dict[str, Any], patch: list[Any]) -> Any:
    """`document` changed by the operations of `patch`. Raises APIError 422 if one does not apply."""
    try:
        return changed(document, patch)
    except Inapplicable:
        # The API says no more than this, and clients may not rely on more.
        raise APIError.of(422, "Invalid", REJECTED, {}) from None


class Inapplicable(Exception):
    """An operation does not apply; the text is that of upstream's library."""


def changed(document: Any, patch: list[Any]) -> Any:
    """The same for who tells what is wrong: raises Inapplicable."""
    target = _Target(document)
    try:
        for operation in patch:
            target.change(operation or {})
        return target.result()
    except RecursionError as exc:
        raise Inapplicable("the document is too deep") from exc


class _Target:
    """A document under change: containers are copied when they are first met, and never the document's own changed."""

    def __init__(self, document: Any) -> None:
        self._owned: dict[int, Any] = {}  # copies by their id; held here, so that an id stays its own
        self._copied_bytes = 0
        self._may_be_deeper = False
        self.root = self._own(document)

    def change(self, operation: dict[str, Any]) -> None:
        change = {
            "add": self._add,
            "remove": self._remove,
            "replace": self._replace,
            "move": self._move,
            "copy": self._copy,
            "test": self._test,
        }.get(kind := _text(operation.get("op"), "unknown"))
        if change is None:
            raise Inapplicable(f"Unexpected kind: {kind}")
        change(operation)

    def result(self) -> Any:
        """The changed document. The keys of what was changed are sorted, as those of a Go map that is encoded."""
        if self._may_be_deeper and is_too_deep(self.root):
            raise Inapplicable("the document is too deep")
        return self._sorted(self.root)

    def _sorted(self, value: Any) -> Any:
        if id(value) not in self._owned:
            return value
        if isinstance(value, dict):
            return {key: self._sorted(value[key]) for key in sorted(value)}
        return [self._sorted(item) for item in value]

    def _own(self, container: Any) -> Any:
        if id(container) in self._owned:
            return container
        copy = container.copy()
        self._owned[id(copy)] = copy
        return copy

    def _find(self, path: str, why: str) -> tuple[Any, str]:
        """The container that `path` points into, and the key in it; raises Inapplicable if there is none."""
        parts = path.split("/")
        if len(parts) < 2:
            raise Inapplicable(f"{why}: missing value")
        at = self.root
        for part in parts[1:-1]:
            try:
                key, inner = _member(at, _unescape(part))
            except Inapplicable:
                inner = None
            if not isinstance(inner, dict | list):
                raise Inapplicable(f"{why}: missing value")
            at[key] = self._own(inner)
            at = at[key]
        return at, _unescape(parts[-1])

    def _add(self, operation: dict[str, Any]) -> None:
        path = operation.get("path")
        if not isinstance(path, str):
            raise Inapplicable("add operation failed to decode path: missing value")
        container, key = self._find(path, f'add operation does not apply: doc is missing path: "{path}"')
        self._put(container, key, operation.get("value"), f"error in add for path: '{path}'")

    def _put(self, container: Any, key: str, value: Any, why: str) -> None:
        self._may_be_deeper |= isinstance(value, dict | list)
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            if not _INDEX.fullmatch(key):
                why = f"{why}: value was not a proper array index: '{key}'"
            with _blaming(why):
                container.insert(_index(key, len(container) + 1), value)

    def _remove(self, operation: dict[str, Any]) -> None:
        path = _path(operation, "path", "remove operation failed to decode path")
        container, key = self._find(path, f'remove operation does not apply: doc is missing path: "{path}"')
        self._take(container, key, f"error in remove for path: '{path}'")

    def _take(self, container: Any, key: str, why: str) -> Any:
        with _blaming(why):
            if isinstance(container, list):
                return container.pop(_index(key, len(container)))
            if key not in container:
                raise Inapplicable(f"Unable to remove nonexistent key: {key}: missing value")
            return container.pop(key)

    def _replace(self, operation: dict[str, Any]) -> None:
        path, value = _path(operation, "path", "replace operation failed to decode path"), operation.get("value")
        self._may_be_deeper |= isinstance(value, dict | list)
        if path == "":
            if not isinstance(value, dict | list):
                raise Inapplicable("replace operation value must be object or array: %!w(<nil>)")
            self.root = self._own(value)
            return
        container, key = self._find(path, f"replace operation does not apply: doc is missing path: {path}")
        if not isinstance(container, list):
            container[key] = value
            return
        try:
            index = _index(key, len(container))
        except Inapplicable:
            why = f"replace operation does not apply: doc is missing key: {path}: missing value"
            raise Inapplicable(why) from None
        container[index] = value

    def _move(self, operation: dict[str, Any]) -> None:
        source = _path(operation, "from", "move operation failed to decode from")
        container, key = self._find(source, f"move operation does not apply: doc is missing from path: {source}")
        value = self._take(container, key, f"error in move for path: '{key}'")
        path = _path(operation, "path", "move operation failed to decode path")
        container, key = self._find(path, f"move operation does not apply: doc is missing destination path: {path}")
        self._put(container, key, value, f"error in move for path: '{path}'")

    def _copy(self, operation: dict[str, Any]) -> None:
        source = _path(operation, "from", "copy operation failed to decode from")
        container, key = self._find(source, f"copy operation does not apply: doc is missing from path: {source}")
        with _blaming(f"error in copy for from: '{source}'"):
            value = _member(container, key)[1]
        path = operation.get("path")
        if not isinstance(path, str):
            raise Inapplicable("copy operation failed to decode path: missing value")
        container, key = self._find(path, f"copy operation does not apply: doc is missing destination path: {path}")
        if is_too_deep(value):
            raise Inapplicable("error while performing deep copy: the value is too deep")
        self._copied_bytes += len(encode(value))
        if self._copied_bytes > MAX_COPIED_BYTES:
            raise Inapplicable(
                "Unable to complete the copy, the accumulated size increase of copy is "
                f"{self._copied_bytes}, exceeding the limit {MAX_COPIED_BYTES}"
            )
        self._put(container, key, deepcopy(value), "error while adding value during copy")

    def _test(self, operation: dict[str, Any]) -> None:
        path = _path(operation, "path", "test operation failed to decode path")
        if path == "":
            value = self.root
        else:
            container, key = self._find(path, f"test operation does not apply: is missing path: {path}")
            with _blaming(f"error in test for path: '{path}'"):
                value = _member(container, key)[1]
        if not _equal(value, operation.get("value")):
            raise Inapplicable(f"testing value {path} failed: test failed")


@contextmanager
def _blaming(why: str) -> Iterator[None]:
    """Put `why` before what does not apply."""
    try:
        yield
    except Inapplicable as exc:
        raise Inapplicable(f"{why}: {exc}") from None


def _member(container: Any, key: str) -> tuple[Any, Any]:
    """Where `key` leads in a container, and what is there: None for a key that an object doesn't have."""
    if isinstance(container, list):
        index = _index(key, len(container))
        return index, container[index]
    return key, container.get(key)


def _text(value: Any, otherwise: str) -> str:
    return value if isinstance(value, str) else otherwise


def _path(operation: dict[str, Any], name: str, why: str) -> str:
    path = operation.get(name)
    if not isinstance(path, str):
        told = "operation missing path field" if name == "path" else "operation, missing from field"
        raise Inapplicable(f"{why}: {told}: missing value")
    return path


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _index(key: str, length: int) -> int:
    if not _INDEX.fullmatch(key):
        raise Inapplicable(f"strconv.Atoi: parsing {quoted(key)}: invalid syntax")
    if len(key) > 18:
        raise Inapplicable(f"strconv.Atoi: parsing {quoted(key)}: value out of range")
    index = int(key)
    if not -length <= index < length:
        raise Inapplicable(f"Unable to access invalid index: {index}: invalid index referenced")
    return index + length if index < 0 else index


def _equal(one: Any, other: Any) -> bool:
    """Numbers are equal if they are written alike: 1 is not 1.0, and no boolean is a number."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(item, other[key]) for key, item in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
