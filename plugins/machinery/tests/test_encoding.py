"""JSON as it is written for others."""

from __future__ import annotations

import json

import pytest

from hyperkube_machinery.encoding import encode_as_go


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain é", '"plain é"'),
        ("a && b", r'"a \u0026\u0026 b"'),
        ("<\\>", r'"\u003c\\\u003e"'),
        ("\u2028\u2029", r'"\u2028\u2029"'),
        ({"<": ["&amp;"]}, r'{"\u003c":["\u0026amp;"]}'),
    ],
)
def test_go_escapes_what_html_and_javascript_would_read_otherwise(value: object, written: str) -> None:
    encoded = encode_as_go(value)
    assert encoded.decode() == written
    assert json.loads(encoded) == value
