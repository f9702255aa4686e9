"""The exact walk: what Go's decoder does with a tree, field by field in the order of the document.

It runs only when the fast way met something unusual. It tells unknown and duplicate fields with their paths, words
type errors as Go does, merges the values of duplicate fields as Go's decoder does, and returns a tree that the fast way
takes.
Source: sigs.k8s.io/json (decode.go, kubernetes_patch.go) and the UnmarshalJSON methods of k8s.io/apimachinery.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any

from hyperkube_machinery.quantity import QuantityError, canonical
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.schema.table import SCHEMA_DEFINITION, Table, Type
from hyperkube_machinery.timestamps import TimestampError, normal_micro, normal_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "InexactNumber",
    "Literal",
    "Pairs",
    "WrongType",
    "decode_exactly",
    "json_type",
    "plain",
    "quoted",
    "type_error",
]

# Upstream keeps no more than this many unknown and duplicate fields of one object.
_MAX_FINDINGS = 100

_BASE64 = re.compile(r"[A-Za-z0-9+/]")


class WrongType(Exception):
    """A value that Go can't decode; the message is Go's."""


class Pairs(list[tuple[str, Any]]):
    """A JSON object whose duplicate keys are still there."""


class Literal(float):
    """A number with a fraction or exponent, or too large for 64 bits, and how it was written."""

    text: str

    @classmethod
    def of(cls, text: str) -> Literal:
        literal = cls(text)
        literal.text = text
        return literal


class InexactNumber(Exception):
    """A number stands where it matters how it was written, and the tree doesn't say."""


def decode_exactly(
    table: Table, definition: str, tree: Any, *, knows_numbers: bool = True
) -> tuple[dict[str, Any], list[str]]:
    """The pruned tree, and the unknown and duplicate fields: `unknown field "spec.foo"`, in document order.

    Objects may be dictionaries or `Pairs`. Raises WrongType with the first error of type that Go would tell.
    `knows_numbers` is False for a tree whose numbers were written in a way that is lost, and then InexactNumber may be
    raised; otherwise they are taken to be as Go writes them.
    """
    walk = _Walk(table, knows_numbers=knows_numbers)
    value = walk.struct(table.type(definition), tree, {}, "")
    if walk.error is not None:
        raise WrongType(walk.error)
    return value, walk.findings


def type_error(value: str, type_name: str, struct: str = "", path: Iterable[str] = ()) -> str:
    """`json: cannot unmarshal string into Go struct field Pod.spec.x of type int32`."""
    path = list(path)
    if struct or path:
        return f"json: cannot unmarshal {value} into Go struct field {struct}.{'.'.join(path)} of type {type_name}"
    return f"json: cannot unmarshal {value} into Go value of type {type_name}"


def json_type(value: Any) -> str:
    """What Go calls a JSON value that does not fit: string, bool, number, object, array, null."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, dict | Pairs):
        return "object"
    return "array" if isinstance(value, list) else "null"


def number_text(value: float) -> str:
    """How a number was written; one that no document held is written as Go encodes it."""
    if isinstance(value, Literal):
        return value.text
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return re.sub(r"e([+-])0(\d)$", r"e\1\2", repr(value))


def plain(value: Any) -> Any:
    """`value` with dictionaries for `Pairs`, the last of duplicate keys winning, and floats for literals."""
    if isinstance(value, Pairs):
        return {key: plain(item) for key, item in value}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return float(value) if isinstance(value, Literal) else value


class _Walk:
    def __init__(self, table: Table, *, knows_numbers: bool) -> None:
        self.table = table
        self.knows_numbers = knows_numbers
        self.findings: list[str] = []
        self.error: str | None = None  # the first that Go would go on after
        self.strict = True
        self._seen: set[str] = set()
        self._struct = ""  # where we are, for type errors
        self._fields: list[str] = []

    def find(self, what: str, path: str, name: str) -> None:
        text = f"{what} field {quoted(f'{path}.{name}' if path else name)}"
        if self.strict and text not in self._seen and len(self.findings) < _MAX_FINDINGS:
            self._seen.add(text)
            self.findings.append(text)

    def wrong(self, value: str, type_: str) -> str:
        return type_error(value, type_, self._struct, self._fields)

    def save(self, message: str) -> None:
        if self.error is None:
            self.error = message

    def value(self, type_: Type, value: Any, current: Any, path: str) -> Any:
        """Decode `value`; `current` is what an earlier field of the same name left."""
        kind = type_.kind
        if kind == "struct":
            return self.struct(type_, value, current, path)
        if kind == "list":
            return self.list(type_, value, current, path)
        if kind == "map":
            return self.map(type_, value, current, path)
        if kind == "raw":
            return plain(value)
        if kind.startswith("schema"):
            return self.schema_or(kind, value)
        decode = _SELF_DECODING.get(kind)
        if decode is not None:
            return decode(self, type_, value)
        return self.scalar(type_, value, current)

    def number_text(self, value: float) -> str:
        if type(value) is float and not self.knows_numbers:
            raise InexactNumber
        return number_text(value)

    def struct(self, type_: Type, value: Any, current: Any, path: str) -> Any:
        if not isinstance(value, dict | Pairs):
            self.save(self.wrong(json_type(value), type_.name))
            return current
        fields = self.table.fields_by_name(type_.definition)
        out: dict[str, Any] = current if isinstance(current, dict) else {}
        seen: set[str] = set()
        outer, depth = self._struct, len(self._fields)
        for key, item in value.items() if isinstance(value, dict) else value:
            field = fields.get(key)
            if field is None:
                self.find("unknown", path, key)
                continue
            if key in seen:
                self.find("duplicate", path, key)
            seen.add(key)
            self._struct = type_.name.rsplit(".", 1)[-1]
            if field.inlined:
                self._fields.extend(field.inlined.split("."))
            self._fields.append(key)
            if item is None:
                if field.type.pointer or field.type.kind not in _KEPT_BY_NULL:
                    out.pop(key, None)
            else:
                out[key] = self.value(field.type, item, out.get(key), f"{path}.{key}" if path else key)
            self._struct = outer
            del self._fields[depth:]
        return out

    def list(self, type_: Type, value: Any, current: Any, path: str) -> Any:
        if not isinstance(value, list) or isinstance(value, Pairs):
            self.save(self.wrong(json_type(value), type_.name))
            return current
        assert type_.element is not None
        before = current if isinstance(current, list) else []
        out = []
        for index, item in enumerate(value):
            old = before[index] if index < len(before) else None
            out.append(old if item is None else self.value(type_.element, item, old, f"{path}[{index}]"))
        return out

    def map(self, type_: Type, value: Any, current: Any, path: str) -> Any:
        if not isinstance(value, dict | Pairs):
            self.save(self.wrong(json_type(value), type_.name))
            return current
        assert type_.element is not None
        out: dict[str, Any] = current if isinstance(current, dict) else {}
        seen: set[str] = set()
        for key, item in value.items() if isinstance(value, dict) else value:
            if key in seen:
                self.find("duplicate", path, key)
            seen.add(key)
            out[key] = None if item is None else self.value(type_.element, item, None, f"{path}.{key}" if path else key)
        return out

    def scalar(self, type_: Type, value: Any, current: Any) -> Any:
        kind = type_.kind
        if kind == "bytes":
            return self.bytes(type_, value, current)
        if kind == "string" and isinstance(value, str):
            return value
        if kind == "bool" and isinstance(value, bool):
            return value
        if kind in _RANGES and isinstance(value, (int, float)) and not isinstance(value, bool):
            low, high = _RANGES[kind]
            if isinstance(value, int) and low <= value <= high:
                return value
            # A patch may have made 3.0 of 3: Go writes such a number without its fraction, and reads it back.
            text = self.number_text(value)
            if re.fullmatch(r"-?\d{1,19}", text) and low <= int(text) <= high:
                return int(text)
            self.save(self.wrong(f"number {text}", type_.name))
            return current
        if kind == "float64" and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value) if isinstance(value, float) else value
        self.save(self.wrong(json_type(value), type_.name))
        return current

    def bytes(self, type_: Type, value: Any, current: Any) -> Any:
        if not isinstance(value, str):
            self.save(self.wrong(json_type(value), type_.name))
            return current
        position = _base64_error(value)
        if position is not None:
            self.save(f"illegal base64 data at input byte {position}")
            return current
        return _canonical_base64(value)

    def quantity(self, type_: Type, value: Any) -> Any:
        if isinstance(value, str):
            text = value.strip()
        elif isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, (int, float)):
            text = self.number_text(value)
        else:
            text = "{}"  # any text that is no quantity: Go parses the JSON itself
        try:
            return canonical(text)
        except QuantityError as error:
            raise WrongType(str(error)) from None

    def time(self, type_: Type, value: Any) -> Any:
        if not isinstance(value, str):
            raise WrongType(self.wrong(json_type(value), "string"))
        try:
            return normal_micro(value) if type_.kind == "microtime" else normal_seconds(value)
        except TimestampError as error:
            raise WrongType(str(error)) from None

    def int_or_string(self, type_: Type, value: Any) -> Any:
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            text = self.number_text(value)
            if re.fullmatch(r"-?\d{1,19}", text) and -0x80000000 <= int(text) <= 0x7FFFFFFF:
                return int(text)
            raise WrongType(self.wrong(f"number {text}", "int32"))
        raise WrongType(self.wrong(json_type(value), "int32"))

    def schema_or(self, kind: str, value: Any) -> Any:
        """What a JSON schema holds where a schema, a list or a boolean may stand; its unknown fields go unsaid."""
        if kind == "schema-or-bool":
            if isinstance(value, bool):
                return value
            if not isinstance(value, dict | Pairs):
                raise WrongType("boolean or JSON schema expected")
        if isinstance(value, dict | Pairs):
            return self._schema(value)
        if not isinstance(value, list):
            return None  # upstream looks at the first character alone
        if kind == "schema-or-strings":
            return [self._name(item) for item in value]
        return [self._schema({} if item is None else item) for item in value]

    def _name(self, value: Any) -> str:
        if value is not None and not isinstance(value, str):
            raise WrongType(type_error(json_type(value), "string"))
        return value or ""

    def _schema(self, value: Any) -> Any:
        type_ = self.table.type(SCHEMA_DEFINITION)
        if not isinstance(value, dict | Pairs):
            raise WrongType(type_error(json_type(value), type_.name))
        strict, self.strict = self.strict, False
        try:
            return self.struct(type_, value, {}, "")
        finally:
            self.strict = strict


_SELF_DECODING: dict[str, Any] = {
    "quantity": _Walk.quantity,
    "time": _Walk.time,
    "microtime": _Walk.time,
    "intorstring": _Walk.int_or_string,
}
_RANGES = {"int32": (-0x80000000, 0x7FFFFFFF), "int64": (-0x8000000000000000, 0x7FFFFFFFFFFFFFFF)}

# null says nothing to these; others it empties.
_KEPT_BY_NULL = {"struct", "string", "bool", "int32", "int64", "float64", "raw"}


def _base64_error(text: str) -> int | None:
    """Where Go's base64.StdEncoding finds `text` wrong, in bytes; None if it doesn't. It skips line ends."""
    data = text.encode("utf-8", "surrogatepass")
    position, digits = 0, 0
    while position < len(data):
        char = chr(data[position])
        position += 1
        if char in "\r\n":
            continue
        if _BASE64.match(char):
            digits += 1
            continue
        if char != "=" or digits % 4 < 2:
            return position - 1
        if digits % 4 == 2:
            while position < len(data) and data[position] in b"\r\n":
                position += 1
            if position == len(data):
                return len(data)
            if data[position] != ord("="):
                return position - 1
            position += 1
        while position < len(data) and data[position] in b"\r\n":
            position += 1
        return position if position < len(data) else None
    if digits % 4:
        # Go points at the start of the unfinished group.
        return position - digits % 4
    return None


def _canonical_base64(text: str) -> str:
    return b64encode(a2b_base64(text)).decode()
