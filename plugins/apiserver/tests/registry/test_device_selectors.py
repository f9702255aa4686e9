"""Expressions that select devices, before they are stored."""

from __future__ import annotations

import pytest

from hyperkube_apiserver.registry.dynamicresources.selectors import validate_expression

PATH = "spec.selectors[0].cel.expression"


@pytest.mark.parametrize(
    "text",
    [
        "true",
        'device.driver == "dra.example.com" && !device.allowMultipleAllocations',
        'device.attributes["dra.example.com"].name == "a"',
        'device.attributes["dra.example.com"].healthy',
        'device.capacity["dra.example.com"].memory.isGreaterThan(quantity("1Gi"))',
        'cel.bind(dra, device.attributes["dra.example.com"], dra.oneBool && dra.anotherBool)',
        'device.attributes["dra.example.com"]["version"].isGreaterThan(semver("0.0.1"))',
        '"dra.example.com" in device.attributes',
    ],
)
def test_what_says_yes_or_no_is_taken(text: str) -> None:
    assert validate_expression(text, PATH) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("device.attributes[", "compilation failed: ERROR: <input>:1:19: Syntax error: mismatched input '<EOF>'"),
        ("device.nothing", "compilation failed: ERROR: <input>:1:7: undefined field 'nothing'"),
        ("noSuchVariable", "undeclared reference to 'noSuchVariable'"),
        ("device.driver", "must evaluate to bool or the unknown type, not string"),
        ('device.attributes["a"]', "must evaluate to bool or the unknown type, not map(string, any)"),
    ],
)
def test_what_does_not_is_told_why(text: str, why: str) -> None:
    (error,) = validate_expression(text, PATH)
    assert (error.field, error.reason) == (PATH, "FieldValueInvalid")
    assert why in error.message


def test_what_may_cost_too_much_is_refused() -> None:
    each = "device.attributes.all(a, device.attributes.all(b, {}))"
    (error,) = validate_expression(each.format(each.format('a.matches("a*b")')), PATH)
    assert error.message == "Forbidden: too complex, exceeds cost limit"
