"""Messages are, byte for byte, those that Kubernetes' own servers write."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from hyperkube_machinery.protobuf import decode_message, open_envelope
from hyperkube_machinery.protobufoutput import Messages, enveloped, event_frame
from hyperkube_machinery.schema import Schemas

# Of each kind one object with arbitrary values, and what a kube-apiserver's encoder made of it.
_RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "protobuf_messages.json").read_text())
_WIRE_FORMS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "wire_forms.json").read_text())
_SCHEMAS = Schemas.load()
_MESSAGES = Messages(_SCHEMAS.table)
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


def _body(api_version: str, kind: str, tree: dict[str, Any]) -> bytes:
    definition = _SCHEMAS.definition_of(api_version, kind)
    assert definition is not None
    message = _MESSAGES.of(definition)(tree)
    before, behind = enveloped(api_version, kind, len(message))
    return before + message + behind


@pytest.mark.parametrize("name", _RECORDED)
def test_an_object_has_the_bytes_that_upstream_gives_it(name: str) -> None:
    api_version, kind = name.split(" ")
    assert _body(api_version, kind, _RECORDED[name]["json"]) == b64decode(_RECORDED[name]["protobuf"])


@pytest.mark.parametrize("name", _WIRE_FORMS)
def test_what_is_written_is_read_back(name: str) -> None:
    tree = _WIRE_FORMS[name]
    api_version, kind = tree["apiVersion"], tree["kind"]
    body = _body(api_version, kind, tree)
    envelope = open_envelope(body)
    assert (envelope.api_version, envelope.kind) == (api_version, kind)
    definition = _SCHEMAS.definition_of(api_version, kind)
    assert definition is not None
    read = decode_message(_SCHEMAS.table, definition, envelope.raw)
    walked, _ = _SCHEMAS.walker(definition).read(read)
    for template in tree.get("spec", {}).get("volumeClaimTemplates", ()):
        del template["kind"], template["apiVersion"]  # protobuf has no place for these inside an object
    assert {"kind": kind, "apiVersion": api_version, **walked} == tree


def test_what_has_no_pointer_is_written_though_it_is_empty() -> None:
    assert _MESSAGES.of(_META + "ListMeta")({}) == b"\x0a\0\x12\0\x1a\0"
    assert _MESSAGES.of(_META + "ObjectMeta")({}) == b"\x0a\0\x12\0\x1a\0\x22\0\x2a\0\x32\0\x38\0\x42\0"
    assert _MESSAGES.of(_META + "Preconditions")({}) == b""


def test_a_map_is_in_the_order_of_its_keys() -> None:
    message = _MESSAGES.of("io.k8s.api.core.v1.ConfigMap")({"data": {"b": "", "a": "1", "ä": "2"}})
    assert message.endswith(b"\x12\6\x0a\1a\x12\0011\x12\5\x0a\1b\x12\0\x12\7\x0a\2\xc3\xa4\x12\0012")


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (0, b"\0"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (16383, b"\xff\x7f"),
        (16384, b"\x80\x80\x01"),
        (2**63 - 1, b"\xff" * 8 + b"\x7f"),
        (-1, b"\xff" * 9 + b"\x01"),
    ],
)
def test_a_number_takes_as_many_bytes_as_it_needs(number: int, data: bytes) -> None:
    assert _MESSAGES.of(_META + "DeleteOptions")({"gracePeriodSeconds": number}) == b"\x08" + data


@pytest.mark.parametrize(
    ("field", "value", "data"),
    [
        ("lastTransitionTime", "1970-01-01T00:00:01Z", b"\x08\x01\x10\0"),
        ("lastTransitionTime", "1969-12-31T23:59:59Z", b"\x08" + b"\xff" * 9 + b"\x01\x10\0"),
        ("lastTransitionTime", None, b""),
    ],
)
def test_a_time_is_seconds_and_none_is_an_empty_one(field: str, value: str | None, data: bytes) -> None:
    message = _MESSAGES.of(_META + "Condition")({field: value})
    assert message == b"\x0a\0\x12\0\x18\0\x22" + bytes([len(data)]) + data + b"\x2a\0\x32\0"


def _of_what(told: Any, read: Any) -> Any:
    """Of what was read, which has all that is zero, what was told."""
    if isinstance(told, dict):
        return {name: _of_what(value, read[name]) for name, value in told.items()}
    if isinstance(told, list):
        assert len(told) == len(read)
        return list(map(_of_what, told, read))
    return read


@pytest.mark.parametrize(
    "tree",
    [
        {"items": {"type": "string"}},
        {"items": [{"type": "string"}, {}]},
        {"additionalProperties": True},
        {"additionalProperties": False},
        {"additionalProperties": {"type": "string"}},
        {"dependencies": {"a": {"type": "string"}, "b": ["c", "d"]}},
        {"enum": [None, 1, "a"], "default": {"a": [1.5]}, "maximum": -2.5},
    ],
)
def test_what_may_stand_in_for_a_schema_is_read_back(tree: dict[str, Any]) -> None:
    read = decode_message(_SCHEMAS.table, _SCHEMA, _MESSAGES.of(_SCHEMA)(tree))
    assert _of_what(tree, read) == tree


def test_an_event_is_framed_with_its_length() -> None:
    assert event_frame("ADDED", b"k8s") == b"\0\0\0\x0e\x0a\5ADDED\x12\5\x0a\3k8s"
