"""JSON paths as Go's parser takes or refuses them."""

from __future__ import annotations

import contextlib
import time

import pytest

from hyperkube_machinery.jsonpath import JSONPathError, check_json_path

TAKEN = [
    "",
    "text alone",
    "{.metadata.name}",
    "{$.a}{@.b} and {.c}",
    "{..name}",
    "{.items[*].spec}",
    "{.a[0]}",
    "{.a[-1:]}",
    "{.a[1:2:3]}",
    "{.a[1,2,'b']}",
    "{.a['b\\.c']}",
    '{.a[?(@.b=="c")].d}',
    "{.a[?(@.b)]}",
    '{range .items[*]}{.x}{"\\n"}{end}',
    "{1.5}",
]
REFUSED = {
    "{.a": "unclosed action",
    "{.a\n}": "unclosed action",
    "{#}": "unrecognized character in action: U+0023 '#'",
    "{.a[": "unterminated array",
    "{.a[x]}": "invalid array index x",
    "{.a[0:-]}": "array index - is not a number",
    '{"a}': "unterminated quoted string",
    '{"\\q"}': 'unquote string "\\q" error invalid syntax',
    "{....a}": "invalid multiple recursive descent",
    "{-}": "cannot parse number -",
    "{.a[?(@.b}": "unterminated filter",
    "{.a[?(@.b)x}": "unclosed array expect ]",
}


@pytest.mark.parametrize("text", TAKEN)
def test_a_path_is_taken(text: str) -> None:
    check_json_path(text)


@pytest.mark.parametrize(("text", "why"), REFUSED.items())
def test_what_is_no_path_is_refused_in_the_parser_s_words(text: str, why: str) -> None:
    with pytest.raises(JSONPathError) as refused:
        check_json_path(text)
    assert str(refused.value) == why


@pytest.mark.parametrize("unit", ["[?(a", '[?(a"', "..", ".[", "'", "[1,", "1", "\\", "{"])
def test_long_and_nested_text_is_read_in_bounded_time(unit: str) -> None:
    started = time.process_time()
    with contextlib.suppress(JSONPathError):
        check_json_path("{" + unit * 20_000 + ")]" * 1000 + "}")
    assert time.process_time() - started < 5
