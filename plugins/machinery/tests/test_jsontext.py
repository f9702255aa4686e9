"""JSON texts: what is wrong with them in Go's words, and keys that stand twice."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_machinery.jsontext import BadJSON, has_duplicates, parse, parse_exactly
from hyperkube_machinery.schema.exact import Literal, Pairs, plain


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"a":1', "unexpected end of JSON input"),
        (b'"abc', "unexpected end of JSON input"),
        (b"tru", "unexpected end of JSON input"),
        (b"1e", "unexpected end of JSON input"),
        (b"nul!", "invalid character '!' in literal null (expecting 'l')"),
        (b"{1:2}", "invalid character '1' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"[1]]", "invalid character ']' after top-level value"),
        (b"'x'", "invalid character '\\'' looking for beginning of value"),
        (b"01", "invalid character '1' after top-level value"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1e+x", "invalid character 'x' in exponent of numeric literal"),
        (b'"\n"', "invalid character '\\n' in string literal"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\u00g0"', "invalid character 'g' in \\u hexadecimal character escape"),
        (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
        (b"\x00", "invalid character '\\x00' looking for beginning of value"),
    ],
)
def test_an_error_is_worded_as_go_words_it(body: bytes, message: str) -> None:
    with pytest.raises(BadJSON) as raised:
        parse(body)
    assert str(raised.value) == message


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=15,
)


@settings(max_examples=200)
@given(value=_VALUES, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_the_exact_parser_reads_what_the_fast_one_reads(value: Any, indent: int | None, ascii_only: bool) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    exact = plain(parse_exactly(body))
    assert exact == parse(body)
    if orjson_reads(body):
        assert exact == orjson.loads(body)


def orjson_reads(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


@settings(max_examples=200)
@given(body=st.binary(max_size=30) | st.text('{}[]":,\\u0123eE+-. tfn"', max_size=25).map(str.encode))
def test_what_the_fast_parser_refuses_has_an_error_or_is_read_exactly(body: bytes) -> None:
    try:
        value = parse(body)
    except BadJSON:
        assert not orjson_reads(body)
    else:
        assert plain(parse_exactly(body)) == value


@settings(max_examples=200)
@given(value=st.dictionaries(st.text(min_size=1), _VALUES, min_size=1, max_size=4), data=st.data())
def test_a_key_that_stands_twice_is_never_overlooked(value: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(value)))
    ascii_only, space = data.draw(st.booleans()), data.draw(st.sampled_from(["", " ", "\n"]))
    members = [*value.items(), (key, data.draw(_VALUES))]
    written = f"{space},".join(f"{json.dumps(k, ensure_ascii=ascii_only)}{space}:{json.dumps(v)}" for k, v in members)
    body = f'{{"in":[{{{written}}}]}}'.encode("utf-8", "surrogatepass")
    assert has_duplicates(body, parse(body))


def test_usual_bodies_are_not_suspected() -> None:
    value = {"a": "b: c", "labels": {"x.io/y": '":"'}, "t": "12:30:00", "n": [1.5e300, True, None]}
    for body in (
        orjson.dumps(value),
        json.dumps(value, indent=2).encode(),
        json.dumps(value, ensure_ascii=False).encode(),
    ):
        assert not has_duplicates(body, parse(body))


def test_duplicates_and_the_text_of_numbers_are_kept() -> None:
    value = parse_exactly(b'{"a":1.50,"a":1e3,"b":123456789012345678901}')
    assert isinstance(value, Pairs)
    assert [(key, number.text) for key, number in value if isinstance(number, Literal)] == [
        ("a", "1.50"),
        ("a", "1e3"),
        ("b", "123456789012345678901"),
    ]


def test_an_error_at_the_end_of_a_large_text_is_found_quickly() -> None:
    body = b'{"a":[' + b'1,"x",' * 500_000 + b"!]}"
    started = time.perf_counter()
    with pytest.raises(BadJSON, match="invalid character '!'"):
        parse(body)
    assert time.perf_counter() - started < 5  # walked value by value it takes far longer
