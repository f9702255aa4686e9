"""Values of the runtime's interface as JSON, and back: the reaper keeps them for kubelets that come later."""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

__all__ = ["decode", "encode"]

T = TypeVar("T")


def encode(value: Any) -> Any:
    """A value of `hyperkube_kubelet.runtime.values` as JSON."""
    if is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.value if isinstance(value, Enum) else value


def decode(kind: type[T], document: Mapping[str, Any]) -> T:
    """The dataclass `kind` that `document` was made of.

    What it doesn't hold gets its default, what the class doesn't know is left out: a kubelet of another version wrote
    it.
    """
    hints = _hints(cast(Hashable, kind))
    values = {name: _decoded(hints[name], document[name]) for name in hints if name in document}
    missing = [
        field.name
        for field in fields(kind)  # type: ignore[arg-type]
        if field.name not in values and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise ValueError(f"{kind.__name__} lacks {', '.join(missing)}")
    return kind(**values)


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decoded(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin is types.UnionType or origin is typing.Union:
        return _decoded(next(argument for argument in arguments if argument is not type(None)), value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_decoded(arguments[0], item) for item in value)
        return tuple(_decoded(argument, item) for argument, item in zip(arguments, value, strict=True))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _decoded(arguments[1], item) for key, item in value.items()}
    if is_dataclass(hint):
        return decode(hint, value)  # type: ignore[arg-type]
    if hint is Path or (isinstance(hint, type) and issubclass(hint, Enum)):
        return hint(value)
    return value
