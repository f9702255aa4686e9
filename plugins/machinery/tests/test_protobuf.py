"""Protobuf bodies give the trees that JSON gives."""

from __future__ import annotations

import copy
import json
import struct
from base64 import b64decode
from calendar import timegm
from pathlib import Path
from time import gmtime, strftime, strptime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperkube_machinery.decoding import decode, read_object
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.protobuf import decode_message
from hyperkube_machinery.schema import Schemas

if TYPE_CHECKING:
    from hyperkube_machinery.schema.table import Type

_WIRE_FORMS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "wire_forms.json").read_text())
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_TABLE = Schemas.load().table


def _varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _body(api_version: str, kind: str, message: bytes) -> bytes:
    meta = _field(1, api_version.encode()) + _field(2, kind.encode())
    return b"k8s\0" + _field(1, meta) + _field(2, message) + _field(3, b"") + _field(4, b"")


def _message(definition: str, tree: dict[str, Any]) -> bytes:
    """Encode by the table, field by field: the plain way round."""
    out = b""
    inlined: dict[tuple[int, ...], bytes] = {}
    for field in _TABLE.fields(definition):
        if not field.number or (tree.get(field.name) is None and "time" not in field.type.kind):
            continue
        encoded = _encoded(field.number, field.type, tree.get(field.name))
        if field.outer:
            inlined[field.outer] = inlined.get(field.outer, b"") + encoded
        else:
            out += encoded
    for outer, encoded in inlined.items():
        for number in reversed(outer):
            encoded = _field(number, encoded)
        out += encoded
    return out


def _encoded(number: int, type_: Type, value: Any) -> bytes:
    if type_.kind == "list" and type_.name not in {"v1.ExtraValue", "v1.Verbs"}:
        assert type_.element is not None
        return b"".join(_encoded(number, type_.element, item) for item in value or [])
    if type_.kind == "map":
        assert type_.element is not None
        return b"".join(
            _field(number, _field(1, key.encode()) + _encoded(2, type_.element, item)) for key, item in value.items()
        )
    if type_.kind == "float64":
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    return _field(number, _payload(type_, value))


def _payload(type_: Type, value: Any) -> bytes | int:
    kind = type_.kind
    if kind == "struct":
        return _message(type_.definition, value)
    if kind == "list":
        return b"".join(_field(1, item.encode()) for item in value)
    if kind in {"bool", "int32", "int64"}:
        return int(value)
    if kind == "string":
        return str(value).encode()
    if kind == "bytes":
        return b64decode(value)
    if kind == "quantity":
        return _field(1, value.encode())
    if kind == "intorstring":
        text = isinstance(value, str)
        return _field(1, int(text)) + _field(2, 0 if text else value) + _field(3, value.encode() if text else b"")
    if kind in {"time", "microtime"}:
        if value is None:
            return b""
        seconds = timegm(strptime(value[:19], "%Y-%m-%dT%H:%M:%S"))
        return _field(1, seconds) + _field(2, int(value[20:-1] or 0) * 1000)
    assert kind == "raw"
    return _field(1, b"" if value is None else json.dumps(value).encode())


def _read(body: bytes, api_version: str, kind: str, media_type: str = _PROTOBUF) -> dict[str, Any]:
    schemas = Schemas.load()
    definition = schemas.definition_of(api_version, kind)
    assert definition is not None
    tree, warnings = read_object(
        body, media_type, schemas.walker(definition), group_version=api_version, kind=kind, field_validation="Strict"
    )
    assert warnings == []
    return tree


def _refusal(body: bytes, api_version: str = "v1", kind: str = "ConfigMap") -> str:
    with pytest.raises(APIError) as raised:
        _read(body, api_version, kind)
    assert raised.value.code == 400
    return str(raised.value)


@pytest.mark.parametrize("name", _WIRE_FORMS)
def test_an_object_is_the_same_in_protobuf_and_in_json(name: str) -> None:
    tree = copy.deepcopy(_WIRE_FORMS[name])
    for template in tree.get("spec", {}).get("volumeClaimTemplates", ()):
        # Protobuf has no place for these inside an object; conversion sets them.
        del template["kind"], template["apiVersion"]
    api_version, kind = tree["apiVersion"], tree["kind"]
    definition = Schemas.load().definition_of(api_version, kind)
    assert definition is not None
    read = _read(_body(api_version, kind, _message(definition, tree)), api_version, kind)
    assert read == tree
    assert read == _read(json.dumps(tree).encode(), api_version, kind, "application/json")


def test_bytes_as_a_client_sends_them_are_read() -> None:
    # A config map as client-go writes it: with an empty creation timestamp, and the numbers of its fields by hand.
    metadata = b"\x0a\x01a\x12\x00\x1a\x01n\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00\x5a\x06\x0a\x01k\x12\x01v"
    message = (
        b"\x0a"
        + bytes([len(metadata)])
        + metadata
        + b"\x12\x06\x0a\x01x\x12\x01y"
        + b"\x1a\x07\x0a\x01b\x12\x02\xff\x00"
    )
    body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12" + bytes([len(message)]) + message + b"\x1a\x00\x22\x00"
    assert _read(body, "v1", "ConfigMap") == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "a", "namespace": "n", "labels": {"k": "v"}},
        "data": {"x": "y"},
        "binaryData": {"b": "/wA="},
    }


def test_a_negative_number_and_a_packed_list_are_read() -> None:
    tree = _read(_body("scheduling.k8s.io/v1", "PriorityClass", _field(2, -5)), "scheduling.k8s.io/v1", "PriorityClass")
    assert tree["value"] == -5
    context = _field(4, b"\x01\x80\x01")  # supplementalGroups, packed as newer encoders would
    pod = _read(_body("v1", "Pod", _field(2, _field(14, context))), "v1", "Pod")
    assert pod["spec"]["securityContext"] == {"supplementalGroups": [1, 128]}


def test_fields_of_unknown_numbers_are_skipped() -> None:
    unknown = (
        _field(9999, b"x") + _field(9998, 5) + _varint(9997 << 3 | 5) + b"abcd" + _varint(9996 << 3 | 1) + b"abcdefgh"
    )
    assert _read(_body("v1", "ConfigMap", unknown), "v1", "ConfigMap") == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {},
    }


def test_schemas_of_custom_resources_are_read() -> None:
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    numbers = {field.name: field.number for field in _TABLE.fields(name)}
    text = _field(numbers["type"], b"string")
    message = (
        _field(numbers["items"], _field(1, text))
        + _field(numbers["additionalProperties"], _field(1, 1))
        + _field(numbers["default"], _field(1, b'{"a":1}'))
    )
    assert decode_message(_TABLE, name, message) == {
        "items": {"type": "string"},
        "additionalProperties": True,
        "default": {"a": 1},
    }


def test_a_body_that_says_what_it_is_is_decoded() -> None:
    options = _body("v1", "DeleteOptions", _field(1, 5) + _field(4, b"Background"))
    assert decode(options, _PROTOBUF) == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 5,
        "propagationPolicy": "Background",
    }
    with pytest.raises(APIError, match='no kind "Bogus" is registered'):
        decode(_body("v1", "Bogus", b""), _PROTOBUF)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty data (<empty>)"),
        (b"{}", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] ({})"),
        (b"k8s\0", "empty body (6b387300)"),
        (b"k8s\0\x0a\xff", "unexpected EOF (6b3873000aff)"),
    ],
)
def test_what_is_no_envelope_is_told(body: bytes, message: str) -> None:
    assert _refusal(body) == f"the object provided is unrecognized (must be of type ConfigMap): {message}"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"\x0a\x05", "unexpected EOF"),
        (b"\x00", "proto: illegal tag 0 (wire type 0)"),
        (b"\x0b", "proto: illegal wireType 3"),
        (b"\x08\x01", "proto: wrong wireType = 0"),
        (b"\x08" + b"\xff" * 11, "proto: integer overflow"),
    ],
)
def test_a_broken_message_is_told(message: bytes, why: str) -> None:
    refused = _refusal(_body("v1", "ConfigMap", message))
    assert refused == f'ConfigMap in version "v1" cannot be handled as a ConfigMap: {why}'


def test_another_kind_is_refused() -> None:
    assert "converting (v1.Pod) to (core.ConfigMap): unknown conversion" in _refusal(_body("v1", "Pod", b""))


def test_messages_inside_messages_are_limited() -> None:
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
    props = {field.name: field.number for field in _TABLE.fields(name.replace("Definition", "Validation", 1))}
    inner = next(f.number for f in _TABLE.fields(name.rsplit(".", 1)[0] + ".JSONSchemaProps") if f.name == "not")
    schema = b""
    for _ in range(5000):
        schema = _field(inner, schema)
    version = _field(4, _field(props["openAPIV3Schema"], schema))
    body = _body("apiextensions.k8s.io/v1", "CustomResourceDefinition", _field(2, _field(7, version)))
    assert "exceeded max depth" in _refusal(body, "apiextensions.k8s.io/v1", "CustomResourceDefinition")


@settings(max_examples=300)
@given(data=st.binary(max_size=40), name=st.sampled_from(["Pod", "Secret", "Event", "Service"]))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    try:
        tree = _read(_body("v1", name, data), "v1", name)
    except APIError as error:
        assert error.code == 400  # noqa: PT017  (most bytes are no message, some are)
    else:
        json.dumps(tree)


_DEEPEST = 6
_KINDS = sorted(
    name
    for name, definition in _TABLE.kinds.items()
    if name.rpartition(" ")[2] != "WatchEvent" and not name.endswith("List") and _TABLE.fields(definition)
)
_WORDS = st.text(alphabet="aä0-/.", max_size=6)
_TIMES = st.integers(0, 2**32).map(lambda seconds: strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds)))
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": _WORDS,
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "bytes": st.sampled_from(["", "AA==", "/wA="]),
    "quantity": st.sampled_from(["0", "1", "500m", "1Gi", "-2"]),
    "time": _TIMES.map(lambda text: f"{text}Z"),
    "microtime": _TIMES.map(lambda text: f"{text}.000007Z"),
    "intorstring": st.integers(0, 2**31 - 1) | _WORDS,
    "raw": st.dictionaries(_WORDS, st.integers(0, 9) | _WORDS, max_size=2),
}


def _drawn(data: st.DataObject, type_: Type, depth: int) -> Any:
    if type_.kind == "struct":
        return _drawn_struct(data, type_.definition, depth + 1)
    if type_.kind == "list" and type_.element is not None:
        return [_drawn(data, type_.element, depth) for _ in range(data.draw(st.integers(1, 2)))]
    if type_.kind == "map" and type_.element is not None:
        return {key: _drawn(data, type_.element, depth) for key in sorted(data.draw(st.sets(_WORDS, max_size=2)))}
    return data.draw(_VALUES[type_.kind])


def _drawn_struct(data: st.DataObject, definition: str, depth: int = 0) -> dict[str, Any]:
    fields = [
        field
        for field in _TABLE.fields(definition)
        if field.number
        and not field.type.kind.startswith("schema")
        and (field.type.kind in _VALUES or depth < _DEEPEST)
    ]
    if not fields:
        return {}
    chosen = data.draw(st.lists(st.sampled_from(range(len(fields))), max_size=4, unique=True))
    return {fields[index].name: _drawn(data, fields[index].type, depth) for index in chosen}


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_objects_of_every_kind_are_the_same_both_ways(data: st.DataObject) -> None:
    api_version, kind = data.draw(st.sampled_from(_KINDS)).split(" ")
    definition = Schemas.load().definition_of(api_version, kind)
    assert definition is not None
    drawn = _drawn_struct(data, definition)
    # As it is written: protobuf can't tell a field that is empty from one that is not there.
    tree = _read(json.dumps(drawn).encode(), api_version, kind, "application/json")
    assert _read(_body(api_version, kind, _message(definition, tree)), api_version, kind) == tree
