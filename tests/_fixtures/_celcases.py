"""The test cases of the CEL specification, and how one is tried.

Source: github.com/google/cel-spec, tests/simple: the messages of cel.expr.conformance.test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from _textproto import Message, parse_message

from hyperkube_machinery.cel import types
from hyperkube_machinery.cel.environment import Environment, Settings
from hyperkube_machinery.cel.equality import equal
from hyperkube_machinery.cel.errors import CELError, CompileError
from hyperkube_machinery.cel.libraries.bindings import BINDINGS
from hyperkube_machinery.cel.libraries.comprehensions import TWO_VARIABLE_COMPREHENSIONS
from hyperkube_machinery.cel.libraries.encoders import ENCODERS
from hyperkube_machinery.cel.libraries.lists import LISTS
from hyperkube_machinery.cel.libraries.math import MATH
from hyperkube_machinery.cel.libraries.optionals import OPTIONALS
from hyperkube_machinery.cel.libraries.sets import SETS
from hyperkube_machinery.cel.libraries.strings import strings
from hyperkube_machinery.cel.types import Type
from hyperkube_machinery.cel.values import Duration, Timestamp, UInt

__all__ = ["Case", "NotOffered", "cases", "try_case"]

_LIBRARIES = (
    BINDINGS,
    ENCODERS,
    LISTS,
    MATH,
    OPTIONALS,
    SETS,
    TWO_VARIABLE_COMPREHENSIONS,
    strings(4),
)
_SETTINGS = Settings(homogeneous_literals=False, check_literals=False)
_PRIMITIVES = {
    b"BOOL": types.BOOL,
    b"INT64": types.INT,
    b"UINT64": types.UINT,
    b"DOUBLE": types.DOUBLE,
    b"STRING": types.STRING,
    b"BYTES": types.BYTES,
}
_WELL_KNOWN = {"ANY": types.ANY, "TIMESTAMP": types.TIMESTAMP, "DURATION": types.DURATION}


class NotOffered(Exception):
    """A case needs what no Kubernetes API server offers."""


@dataclass(frozen=True)
class Case:
    name: str  # file/section/test
    fields: Message

    @property
    def expression(self) -> str:
        return _text(self.fields["expr"][0])


def cases(text: str) -> Iterator[Case]:
    """The cases of one file."""
    file = parse_message(text)
    for section in file.get("section", ()):
        for test in section.get("test", ()):
            parts = (_text(each["name"][0]) for each in (file, section, test))
            yield Case("/".join(parts), test)


def try_case(case: Case) -> str | None:
    """What is wrong, or None. Raises NotOffered."""
    fields = case.fields
    if "disable_macros" in fields:
        raise NotOffered("macros are always expanded")
    variables, values = _variables(fields), _bindings(fields)
    environment = Environment(
        variables=variables,
        libraries=_LIBRARIES,
        container=_text(fields["container"][0]) if "container" in fields else "",
        settings=_SETTINGS,
    )
    try:
        checked = environment.compile(case.expression)
        deduced = _deduced(fields)
        if deduced is not None and str(checked.type) != str(deduced):
            return f"its type is {checked.type}, not {deduced}"
        if "check_only" in fields:
            return None
        result = environment.program(checked).evaluate(values).value
    except CELError as exc:
        if "eval_error" in fields or "any_eval_errors" in fields:
            return None
        if isinstance(exc, CompileError) and "disable_check" in fields:
            raise NotOffered("only what was checked is evaluated") from None
        return f"{type(exc).__name__}: {exc}"
    if "eval_error" in fields or "any_eval_errors" in fields:
        return f"is {result!r}, not an error"
    return _compare(fields, result)


def _compare(fields: Message, result: Any) -> str | None:
    if "typed_result" in fields:
        fields = {"value": fields["typed_result"][0].get("result", [])}
        if not fields["value"]:
            return None
    expected = _value(fields["value"][0]) if "value" in fields else True
    if isinstance(expected, float) and math.isnan(expected):
        return None if isinstance(result, float) and math.isnan(result) else f"is {result!r}, not NaN"
    same = type(expected) is type(result) or isinstance(expected, Type)
    return None if same and equal(expected, result) else f"is {result!r}, not {expected!r}"


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _deduced(fields: Message) -> Type | None:
    if "typed_result" not in fields or "deduced_type" not in fields["typed_result"][0]:
        return None
    return _type(fields["typed_result"][0]["deduced_type"][0])


def _variables(fields: Message) -> dict[str, Type]:
    variables: dict[str, Type] = {}
    for declared in fields.get("type_env", ()):
        if "ident" not in declared:
            raise NotOffered("declares a function")
        variables[_text(declared["name"][0])] = _type(declared["ident"][0]["type"][0])
    for entry in fields.get("bindings", ()):
        variables.setdefault(_text(entry["key"][0]), types.DYN)
    return variables


def _type(fields: Message) -> Type:
    ((kind, (held,)),) = fields.items()
    match kind:
        case "primitive":
            return _PRIMITIVES[held.encode()]
        case "wrapper":
            return types.wrapper_of(_PRIMITIVES[held.encode()])
        case "well_known":
            return _WELL_KNOWN[held]
        case "dyn":
            return types.DYN
        case "null":
            return types.NULL
        case "list_type":
            return types.list_of(_type(held["elem_type"][0]))
        case "map_type":
            return types.map_of(_type(held["key_type"][0]), _type(held["value_type"][0]))
        case "type":
            return types.type_of(_type(held)) if held else types.TYPE
        case "type_param":
            return types.type_parameter(_text(held))
        case "abstract_type":
            name = _text(held["name"][0])
            return types.opaque(name, *(_type(each) for each in held.get("parameter_types", ())))
        case "message_type":
            known = {"google.protobuf.Timestamp": types.TIMESTAMP, "google.protobuf.Duration": types.DURATION}
            if _text(held) in known:
                return known[_text(held)]
    raise NotOffered("protobuf messages")


def _bindings(fields: Message) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for entry in fields.get("bindings", ()):
        held = entry["value"][0]
        if "value" not in held:
            raise NotOffered("unknown values")
        values[_text(entry["key"][0])] = _value(held["value"][0])
    return values


def _value(fields: Message) -> Any:
    ((kind, (held,)),) = fields.items()
    match kind:
        case "null_value":
            return None
        case "bool_value":
            return held == "true"
        case "int64_value":
            return int(held, 0)
        case "uint64_value":
            return UInt(int(held, 0))
        case "double_value":
            return float(held)
        case "string_value":
            return _text(held)
        case "bytes_value":
            return held
        case "type_value":
            return types.opaque(_text(held))
        case "list_value":
            return [_value(each) for each in held.get("values", ())]
        case "map_value":
            return {_value(each["key"][0]): _value(each["value"][0]) for each in held.get("entries", ())}
        case "object_value":
            return _object(held)
    raise NotOffered(f"values such as {kind}")


def _object(fields: Message) -> Any:
    ((url, (held,)),) = fields.items()
    nanoseconds = int(held.get("seconds", ["0"])[0]) * 1_000_000_000 + int(held.get("nanos", ["0"])[0])
    match url.rpartition("/")[2].rstrip("]"):
        case "google.protobuf.Timestamp":
            return Timestamp(nanoseconds)
        case "google.protobuf.Duration":
            return Duration(nanoseconds)
    raise NotOffered("protobuf messages")
