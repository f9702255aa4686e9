"""What causes show of the values that they are about."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_machinery.errors import FieldError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a b", '"a b"'),
        ('a"\\b', '"a\\"\\\\b"'),
        ("a\nb\x00\x7f", '"a\\nb\\x00\\x7f"'),
        ("é\u200b<\U000e0001", '"é\\u200b<\\U000e0001"'),
        (["<a>", "&"], '["\\u003ca\\u003e","\\u0026"]'),
        ({"a": "é"}, '{"a":"é"}'),
        (None, "null"),
        (1.5, "1.5"),
        (True, "true"),
        (9.5, "9.5"),
        (1e30, "1e+30"),
        (1234567.0, "1.234567e+06"),
        (123456.0, "123456"),
        (0.00001, "1e-05"),
    ],
)
def test_a_value_is_shown_as_go_shows_it(value: Any, shown: str) -> None:
    assert FieldError.invalid("spec", value, "must not be").message == f"Invalid value: {shown}: must not be"
