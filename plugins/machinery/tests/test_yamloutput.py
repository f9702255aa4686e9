"""YAML as the API server writes it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_machinery.yamloutput import to_yaml
from hyperkube_machinery.yamltext import parse_yaml


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": "2026-01-01T00:00:00Z"}, 'a: "2026-01-01T00:00:00Z"\n'),
        ({"a": "2026-01-01T00:00:00.000007Z"}, 'a: "2026-01-01T00:00:00.000007Z"\n'),
        ({"a": "2026-01-01"}, 'a: "2026-01-01"\n'),
        ({"a": "12"}, 'a: "12"\n'),
        ({"a": "1e3"}, 'a: "1e3"\n'),
        ({"a": "true"}, 'a: "true"\n'),
        ({"a": "on"}, 'a: "on"\n'),
        ({"a": "null"}, 'a: "null"\n'),
        ({"a": ""}, 'a: ""\n'),
        ({"a": "12:30"}, 'a: "12:30"\n'),
        ({"a": "<<"}, 'a: "<<"\n'),
        ({"a": "10.0.0.1"}, "a: 10.0.0.1\n"),
        ({"a": "1Gi"}, "a: 1Gi\n"),
        ({"a": 'configmaps "x" not found'}, 'a: configmaps "x" not found\n'),
        ({"a": "b: c"}, "a: 'b: c'\n"),
        ({"a": "- b"}, "a: '- b'\n"),
        ({"a": "b\nc\n"}, "a: |\n  b\n  c\n"),
        ({"a": "b\nc"}, "a: |-\n  b\n  c\n"),
        ({"a": "é"}, "a: é\n"),
        ({"a": 1, "b": None, "c": True, "d": 1.5}, "a: 1\nb: null\nc: true\nd: 1.5\n"),
        ({"a": {}, "b": []}, "a: {}\nb: []\n"),
        ({"b": [{"c": 1, "a": 2}, [3]]}, "b:\n- a: 2\n  c: 1\n- - 3\n"),
        ({"a10": 1, "a2": 2, "a": 3, "1": 4, "a.b": 5, "ab": 6}, '"1": 4\na: 3\na.b: 5\na2: 2\na10: 1\nab: 6\n'),
        ({"f:z": {".": {}}}, "f:z:\n  .: {}\n"),
        ("a", "a\n"),
    ],
)
def test_a_tree_is_written_as_go_writes_it(value: Any, text: str) -> None:
    assert to_yaml(value) == text


_TEXT = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=30)


@settings(max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | _TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
        max_leaves=12,
    )
)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert parse_yaml(to_yaml(value).encode()) == (value, [])
