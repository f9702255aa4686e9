"""Bodies to objects, in the words of the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_machinery.decoding import StrictError, check_tree, decode, parse_body, read_object
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.schema import Schemas, WrongType

_RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "bodies.json").read_text())
_POD = Schemas.load().walker("io.k8s.api.core.v1.Pod")


def _read(body: bytes | str, media_type: str = "application/json", validation: str = "Warn") -> tuple[Any, list[str]]:
    sent = body.encode() if isinstance(body, str) else body
    return read_object(sent, media_type, _POD, group_version="v1", kind="Pod", field_validation=validation)


def _refusal(body: bytes | str, media_type: str = "application/json", validation: str = "Warn") -> str:
    with pytest.raises(APIError) as raised:
        _read(body, media_type, validation)
    assert raised.value.code == 400
    return str(raised.value)


@pytest.mark.parametrize("case", _RECORDED, ids=lambda case: f"{case['kind']}: {case['body'][:60]!r}")
def test_a_body_is_answered_as_it_was_recorded(case: dict[str, Any]) -> None:
    definition = Schemas.load().definition_of(case["group_version"], case["kind"])
    assert definition is not None
    body = case["body"].encode("latin-1" if case.get("latin1") else "utf-8")

    def answer() -> list[str]:
        _, warnings = read_object(
            body,
            case["media_type"],
            Schemas.load().walker(definition),
            group_version=case["group_version"],
            kind=case["kind"],
            field_validation=case["field_validation"],
        )
        return warnings

    if "message" in case:
        with pytest.raises(APIError) as raised:
            answer()
        assert (raised.value.code, str(raised.value)) == (case["code"], case["message"])
    else:
        assert answer() == case["warnings"]


def test_kind_and_version_are_filled_in_and_come_first() -> None:
    tree, warnings = _read('{"spec":{"nodeName":"n"},"metadata":{"name":"a"}}')
    assert list(tree) == ["kind", "apiVersion", "metadata", "spec", "status"]
    assert (tree["kind"], tree["apiVersion"]) == ("Pod", "v1")
    assert warnings == []


def test_the_validation_level_decides_between_error_warning_and_nothing() -> None:
    body = '{"metadata":{"name":"a","name":"b"},"x":1}'
    findings = ['duplicate field "metadata.name"', 'unknown field "x"']
    assert _read(body)[1] == findings
    assert _read(body, validation="Ignore")[1] == []
    refused = _refusal(body, validation="Strict")
    assert refused == f'Pod in version "v1" cannot be handled as a Pod: strict decoding error: {", ".join(findings)}'
    for validation in ("Warn", "Ignore"):
        assert _read(body, validation=validation)[0]["metadata"] == {"name": "b"}


def test_values_of_duplicate_fields_merge_as_go_merges_them() -> None:
    tree, _ = _read(
        '{"metadata":{"name":"a","labels":{"x":"1","y":"2"}},"metadata":{"labels":{"y":"3"}},'
        '"spec":{"containers":[{"name":"c","image":"i"},{"name":"d"}]},"spec":{"containers":[{"name":"e"}]}}'
    )
    assert tree["metadata"] == {"name": "a", "labels": {"x": "1", "y": "3"}}
    assert tree["spec"]["containers"] == [{"name": "e", "image": "i", "resources": {}}]


def test_a_duplicate_inside_an_unknown_field_is_not_looked_for() -> None:
    assert _read('{"x":{"a":1,"a":2}}')[1] == ['unknown field "x"']


def test_a_fraction_is_no_integer_in_json_but_in_yaml() -> None:
    assert "cannot unmarshal number 3.0 into" in _refusal('{"spec":{"priority":3.0}}')
    assert _read("spec: {priority: 3.0}", "application/yaml")[0]["spec"]["priority"] == 3


def test_a_number_as_quantity_keeps_its_notation() -> None:
    assert _read('{"spec":{"overhead":{"cpu":1e3,"m":0.5}}}')[0]["spec"]["overhead"] == {"cpu": "1e3", "m": "500m"}


def test_a_number_beyond_64_bits_is_shown_as_written() -> None:
    assert "cannot unmarshal number 99999999999999999999999 into" in _refusal(
        '{"spec":{"priority":99999999999999999999999}}'
    )


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    tree, _ = _read(b'{"metadata":{"name":"\xff\xe2\x82","namespace":"\\ud800"}}')
    assert tree["metadata"] == {"name": "\ufffd\ufffd\ufffd", "namespace": "\ufffd"}


def test_another_kind_is_refused_by_what_is_known_of_it() -> None:
    assert _refusal('{"kind":"Node","apiVersion":"v1"}').endswith(
        "converting (v1.Node) to (core.Pod): unknown conversion"
    )
    assert 'no kind "Pad" is registered for version "v1" in scheme' in _refusal('{"kind":"Pad"}')
    assert 'no kind "Pod" is registered for version "v3" in scheme' in _refusal('{"apiVersion":"v3"}')
    assert "unexpected GroupVersion string: a/b/c" in _refusal('{"apiVersion":"a/b/c"}')


def test_another_version_of_the_same_kind_does_not_match() -> None:
    walker = Schemas.load().walker("io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler")
    with pytest.raises(APIError) as raised:
        read_object(
            b'{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler"}',
            "application/json",
            walker,
            group_version="autoscaling/v2",
            kind="HorizontalPodAutoscaler",
            field_validation="Warn",
        )
    assert str(raised.value) == (
        "the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)"
    )


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"a":' * 5000,
        '{"spec":' + "[" * 2000 + "]" * 2000 + "}",
        '{"spec":' + "[" * 300 + "]" * 300 + "}",
        '{"a":1,"a":' + '{"b":' * 300 + "1" + "}" * 300 + "}",
    ],
    ids=len,
)
def test_depth_is_limited(body: str) -> None:
    assert "exceeded max depth" in _refusal(body)


@pytest.mark.parametrize("media_type", ["application/json", "application/yaml"])
@pytest.mark.parametrize("rest", ["", ',"x":1,"x":2'])
def test_what_is_as_deep_as_allowed_is_read_whichever_way_it_takes(media_type: str, rest: str) -> None:
    data = '{"a":' * 195 + "1" + "}" * 195
    tree, _ = read_object(
        f'{{"data":{data}{rest}}}'.encode(),
        media_type,
        Schemas.load().walker("io.k8s.api.apps.v1.ControllerRevision"),
        group_version="apps/v1",
        kind="ControllerRevision",
        field_validation="Warn",
    )
    assert tree["data"] == json.loads(data)


def test_depth_is_limited_in_yaml() -> None:
    assert "exceeded max depth" in _refusal("[" * 5000, "application/yaml")
    chained = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 300))]
    assert "exceeded max depth" in _refusal("\n".join(chained), "application/yaml")


def test_an_empty_body_is_told() -> None:
    assert _refusal("") == (
        "the object provided is unrecognized (must be of type Pod): "
        "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"
    )


def test_decode_tells_duplicates_of_no_known_type() -> None:
    decoded = parse_body(b'{"a":[{"b":1,"b":{"c":1,"c":2}}],"a":1}', "application/json")
    assert decoded.tree == {"a": 1}
    assert decoded.duplicates == [
        'duplicate field "a[0].b"',
        'duplicate field "a[0].b.c"',
        'duplicate field "a"',
    ]


def test_a_media_type_nobody_knows_is_415() -> None:
    with pytest.raises(APIError) as raised:
        decode(b"{}", "application/cbor")
    assert raised.value.code == 415


def test_a_patched_tree_is_checked_like_a_body() -> None:
    def check(tree: dict[str, Any], validation: str = "Warn") -> list[str]:
        return check_tree(
            tree, _POD, group_version="v1", kind="Pod", field_validation=validation, duplicates=['duplicate field "x"']
        )

    tree = {"kind": "Pod", "apiVersion": "v1", "spec": {"y": 1, "containers": []}}
    assert check(tree) == ['duplicate field "x"', 'unknown field "spec.y"']
    assert tree == {"kind": "Pod", "apiVersion": "v1", "metadata": {}, "spec": {"containers": None}, "status": {}}
    refused = {"kind": "Pod", "apiVersion": "v1", "z": 1}
    with pytest.raises(StrictError, match='strict decoding error: duplicate field "x", unknown field "z"'):
        check(refused, "Strict")
    assert refused == {"kind": "Pod", "apiVersion": "v1", "z": 1}
    with pytest.raises(WrongType, match="cannot unmarshal array into Go value of type struct"):
        check(cast("dict[str, Any]", []))
    with pytest.raises(WrongType, match=r"converting \(v1.Secret\) to \(core.Pod\): unknown conversion"):
        check({"kind": "Secret", "apiVersion": "v1"})


# Escaped pairs of surrogates are no YAML, nor are keys of more than a thousand characters, and libyaml says so.
_TEXT = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=60)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150)
@given(value=_JSON)
def test_json_reads_the_same_as_yaml(value: Any) -> None:
    body = json.dumps(value).encode()
    assert parse_body(body, "application/yaml").tree == parse_body(body, "application/json").tree == value
