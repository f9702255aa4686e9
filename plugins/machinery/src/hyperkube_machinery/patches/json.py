"""JSON patch (RFC 6902), as the API applies it.

Where its library departs from the RFC, so does this: indexes may count from the end (-1), `replace` of a key that is
missing adds it, and of a path's first part, before the first slash, nothing is read.
Source: gopkg.in/evanphx/json-patch.v4, k8s.io/apiserver/pkg/endpoints/handlers (patch.go).
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from hyperkube_machinery.decoding import duplicate_fields
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.jsontext import BadJSON, is_too_deep, parse_exactly
from hyperkube_machinery.schema.exact import Pairs, json_type, plain, quoted, type_error

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_COPIED_BYTES", "MAX_OPERATIONS", "REJECTED", "apply", "read"]

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
    if wrong:
        raise APIError.bad_request(f"{prefix}{wrong}")
    steps = plain(operations or [])
    if len(steps) > MAX_OPERATIONS:
        raise APIError.too_large(
            "Request entity is too large: The allowed maximum operations in a JSON patch is "
            f"{MAX_OPERATIONS}, got {len(steps)}"
        )
    return lambda document: apply(document, steps), findings if strict else []


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
    target = _Target(document)
    try:
        for operation in patch:
            target.change(operation or {})
        return target.result()
    except (_Inapplicable, RecursionError):
        # The API says no more than this, and clients may not rely on more.
        raise APIError.of(422, "Invalid", REJECTED, {}) from None


class _Inapplicable(Exception):
    """An operation does not apply."""


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
        }.get(_text(operation.get("op")))
        if change is None:
            raise _Inapplicable
        change(operation)

    def result(self) -> Any:
        """The changed document. The keys of what was changed are sorted, as those of a Go map that is encoded."""
        if self._may_be_deeper and is_too_deep(self.root):
            raise _Inapplicable
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

    def _find(self, path: str) -> tuple[Any, str]:
        """The container that `path` points into, and the key in it."""
        parts = path.split("/")
        if len(parts) < 2:
            raise _Inapplicable
        at = self.root
        for part in parts[1:-1]:
            key: Any = _unescape(part)
            if isinstance(at, list):
                key = _index(key, len(at))
            elif key not in at:
                raise _Inapplicable
            if not isinstance(at[key], dict | list):
                raise _Inapplicable
            at[key] = self._own(at[key])
            at = at[key]
        return at, _unescape(parts[-1])

    def _add(self, operation: dict[str, Any]) -> None:
        self._put(_path(operation, "path"), operation.get("value"))

    def _put(self, path: str, value: Any) -> None:
        self._may_be_deeper |= isinstance(value, dict | list)
        container, key = self._find(path)
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            container.insert(_index(key, len(container) + 1), value)

    def _remove(self, operation: dict[str, Any]) -> None:
        self._take(_path(operation, "path"))

    def _take(self, path: str) -> Any:
        container, key = self._find(path)
        if isinstance(container, list):
            return container.pop(_index(key, len(container)))
        if key not in container:
            raise _Inapplicable
        return container.pop(key)

    def _get(self, path: str) -> Any:
        """The value at `path`; None for a key that an object doesn't have."""
        container, key = self._find(path)
        if isinstance(container, list):
            return container[_index(key, len(container))]
        return container.get(key)

    def _replace(self, operation: dict[str, Any]) -> None:
        path, value = _path(operation, "path"), operation.get("value")
        self._may_be_deeper |= isinstance(value, dict | list)
        if path == "":
            if not isinstance(value, dict | list):
                raise _Inapplicable
            self.root = self._own(value)
            return
        container, key = self._find(path)
        if isinstance(container, list):
            container[_index(key, len(container))] = value
        else:
            container[key] = value

    def _move(self, operation: dict[str, Any]) -> None:
        value = self._take(_path(operation, "from"))
        self._put(_path(operation, "path"), value)

    def _copy(self, operation: dict[str, Any]) -> None:
        value = self._get(_path(operation, "from"))
        if is_too_deep(value):
            raise _Inapplicable
        self._copied_bytes += len(encode(value))
        if self._copied_bytes > MAX_COPIED_BYTES:
            raise _Inapplicable
        self._put(_path(operation, "path"), deepcopy(value))

    def _test(self, operation: dict[str, Any]) -> None:
        path = _path(operation, "path")
        value = self.root if path == "" else self._get(path)
        if not _equal(value, operation.get("value")):
            raise _Inapplicable


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _path(operation: dict[str, Any], name: str) -> str:
    path = operation.get(name)
    if not isinstance(path, str):
        raise _Inapplicable
    return path


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _index(key: str, length: int) -> int:
    if not _INDEX.fullmatch(key) or len(key) > 18:
        raise _Inapplicable
    index = int(key)
    if not -length <= index < length:
        raise _Inapplicable
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
