"""Lists, maps and objects that expressions make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_machinery.cel.code import Code, Frame, Run
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.texts import show
from hyperkube_machinery.cel.types import ObjectType
from hyperkube_machinery.cel.values import Optional, UInt

__all__ = ["create_list", "create_map", "create_object"]

_KEYS = (str, bool, int, UInt)


def create_list(elements: Sequence[Code], optional: frozenset[int]) -> Run:
    runs = [element.run for element in elements]
    if not optional:
        return lambda frame: [run(frame) for run in runs]

    def created(frame: Frame) -> list[Any]:
        made: list[Any] = []
        for index, run in enumerate(runs):
            value = run(frame)
            if index in optional:
                if not isinstance(value, Optional):
                    raise EvaluationError(
                        f"cannot initialize optional list element from non-optional value {show(value)}"
                    )
                if not value.present:
                    continue
                value = value.value
            made.append(value)
        return made

    return created


def create_map(keys: Sequence[Code], values: Sequence[Code], optional: Sequence[bool]) -> Run:
    entries = [(key.run, value.run, marked) for key, value, marked in zip(keys, values, optional, strict=True)]

    def created(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for run_key, run_value, marked in entries:
            key = run_key(frame)
            if key.__class__ not in _KEYS:
                raise EvaluationError("unsupported key type")
            _put(made, key, run_value(frame), optional=marked)
        return made

    return created


def create_object(type: ObjectType, fields: Sequence[tuple[str, bool]], codes: Sequence[Code]) -> Run:
    """`fields` are keys, and whether they were marked as optional."""
    entries = [(key, marked, code.run) for (key, marked), code in zip(fields, codes, strict=True)]
    construct = type.construct

    def created(frame: Frame) -> Any:
        made: dict[str, Any] = {}
        for key, marked, run in entries:
            _put(made, key, run(frame), optional=marked)
        return made if construct is None else construct(made)

    return created


def _put(made: dict[Any, Any], key: Any, value: Any, *, optional: bool) -> None:
    if optional:
        if not isinstance(value, Optional):
            raise EvaluationError(
                f"cannot initialize optional entry '{show(key)}' from non-optional value {show(value)}"
            )
        if not value.present:
            made.pop(key, None)
            return
        value = value.value
    made[key] = value
