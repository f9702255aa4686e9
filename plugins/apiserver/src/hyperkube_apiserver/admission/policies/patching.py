"""What mutating policies make of an object: an apply configuration merged with it, or a JSON patch applied to it.

Source: k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_machinery.cel.kubernetes.admission.patchtypes import misnamed
from hyperkube_machinery.cel.times import show_duration, show_timestamp
from hyperkube_machinery.cel.values import Duration, Timestamp, UInt
from hyperkube_machinery.fields.merge import merge
from hyperkube_machinery.fields.shapes import Shape
from hyperkube_machinery.fields.typed import BadValue, check
from hyperkube_machinery.patches.json import Inapplicable, changed

__all__ = ["PatchError", "applied", "patched"]

Tree = dict[str, Any]

_TEST_FAILED = "test failed"


class PatchError(Exception):
    """What an expression made can't be applied."""


def applied(live: Tree, value: Any, shape: Shape) -> Tree:
    """`live` with the apply configuration `value`, which an expression made, merged into it. Raises PatchError."""
    _check_names(value)
    config = {**_plain(value), "apiVersion": live["apiVersion"], "kind": live["kind"]}
    try:
        check(config, shape)
    except BadValue as exc:
        raise PatchError(f"error applying patch: failed to convert patch object to typed object: {exc}") from exc
    if atomics := list(_atomics(config, shape, "")):
        why = f"may not mutate atomic arrays, maps or structs: {', '.join(atomics)}"
        raise PatchError(f"error applying patch: invalid ApplyConfiguration: {why}")
    try:
        check(live, shape, allow_duplicates=True)
    except BadValue as exc:
        raise PatchError(f"error applying patch: failed to convert original object to typed object: {exc}") from exc
    merged: Tree = merge(live, config, shape)
    return merged


def patched(live: Tree, operations: list[Any]) -> Tree:
    """`live` with a JSON patch, which an expression made, applied; itself where a test of the patch does not hold.

    Raises PatchError.
    """
    try:
        result: Tree = changed(live, [_operation(one) for one in operations])
    except Inapplicable as exc:
        if str(exc).endswith(f": {_TEST_FAILED}"):
            return live
        raise PatchError(f"JSON Patch: {exc}") from exc
    return result


def _operation(made: Mapping[str, Any]) -> Tree:
    operation = {"op": made.get("op", ""), "path": made.get("path", "")}
    if made.get("from"):
        operation["from"] = made["from"]
    if "value" in made:
        _check_names(made["value"])
        operation["value"] = _plain(made["value"])
    return operation


def _check_names(value: Any) -> None:
    if wrong := misnamed(value):
        raise PatchError("type mismatch: " + "\n".join(wrong))


def _plain(value: Any) -> Any:
    """A value of an expression as JSON has it."""
    match value:
        case None | bool() | str() | float():
            return value
        case UInt() | int():
            return int(value)
        case Mapping():
            return {_key(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case bytes():
            return base64.b64encode(value).decode()
        case Timestamp():
            return show_timestamp(value)
        case Duration():
            return show_duration(value)
    raise PatchError(f"a value of type {value.cel_type} can't be written as JSON")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise PatchError(f'map key "{key}" is not a string')
    return key


def _atomics(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """The paths of what can only be replaced as a whole, which a policy might do without knowing."""
    if isinstance(value, dict) and shape.map is not None:
        if shape.map.atomic:
            yield path
        for name, item in value.items():
            inner = shape.map.fields.get(name)
            if inner is not None:
                yield from _atomics(item, inner, f"{path}.{name}")
    if isinstance(value, list) and shape.list is not None:
        if shape.list.atomic:
            yield path
        for index, item in enumerate(value):
            yield from _atomics(item, shape.list.element, f"{path}[{index}]")
