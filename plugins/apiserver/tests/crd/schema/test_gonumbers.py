"""Numbers of custom resources: what is read, what is judged, what is stored."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.crd.schema import CustomSchema
from hyperkube_apiserver.registry.apiextensions.gonumbers import as_read, as_written, may_differ
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "half": {"type": "number", "multipleOf": 0.5},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "number"}},
    },
}


def schema_of() -> CustomSchema:
    return CustomSchema(group="example.com", version="v1", kind="Thing", load=lambda: SCHEMA)


def read(field: str, value: str, media_type: str = "application/json") -> dict[str, Any]:
    body = f'{{"apiVersion":"example.com/v1","kind":"Thing","metadata":{{"name":"a"}},"{field}":{value}}}'
    return schema_of().read(body.encode(), media_type, "Strict")[0]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("text", "2.0", 'must be of type string: "number"'),
        ("text", "2", 'must be of type string: "integer"'),
        ("text", "9223372036854775808", 'must be of type string: "number"'),
        ("count", "9223372036854775808", 'must be of type integer: "number"'),
        ("count", "-9223372036854775809", "Checked value must be of type integer"),
        ("half", "2", "factor MultipleOf declared for half must be positive: 0"),
    ],
)
def test_a_number_is_judged_as_it_was_written(field: str, value: str, told: str) -> None:
    errors = schema_of().validate(read(field, value))
    assert any(told in error.detail or told in str(error.bad_value) for error in errors), errors


@pytest.mark.parametrize(("field", "value"), [("count", "2.0"), ("half", "2.0"), ("count", "1e3"), ("set", "[2,2.0]")])
def test_a_whole_fraction_is_as_good_as_an_integer(field: str, value: str) -> None:
    assert schema_of().validate(read(field, value)) == []


def test_yaml_knows_no_whole_fractions() -> None:
    errors = schema_of().validate(read("text", "2.0", "application/yaml"))
    assert 'must be of type string: "integer"' in errors[0].detail


def test_a_number_that_nothing_holds_is_told() -> None:
    with pytest.raises(APIError, match="cannot unmarshal number 1e400 into Go value of type float64") as refused:
        read("count", "1e400")
    assert refused.value.code == 400


def test_what_is_written_comes_back_as_integers() -> None:
    tree = {"a": 2.0, "b": [1e3, 1.5, -0.0], "c": {"d": 1e18, "f": True}}
    assert may_differ(encode(tree))
    assert encode(as_written(tree)) == b'{"a":2,"b":[1000,1.5,0],"c":{"d":1000000000000000000,"f":true}}'
    assert not may_differ(encode({"a": 1.5, "b": "1.0.3", "c": [2, 30]}))


def test_integers_of_more_than_64_bits_are_fractions() -> None:
    assert [type(one) for one in as_read([1 << 63, -(1 << 63), (1 << 63) - 1])] == [float, int, int]
