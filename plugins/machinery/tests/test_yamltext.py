"""YAML in Go's dialect."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_machinery.yamltext import BadYAML, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("'y'", "y"),
        ("!!str y", "y"),
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("0x1F", 31),
        ("010", 8),
        ("0o10", 8),
        ("0b11", 3),
        ("1_000", 1000),
        ("18446744073709551615", 2**64 - 1),
        ("99999999999999999999", 10**20),
        ("1.0", 1),
        ("1.5", 1.5),
        ("1e3", 1000),
        (".5", 0.5),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        ("+1", 1),
        ("=", "="),
        ("08", 8),
        ("!!float 3", 3),
        ("!!binary YWI=", "ab"),
        ("!thing x", "x"),
        ("{1: a, 1.5: b, yes: c, null_: d}", {"1": "a", "1.5": "b", "true": "c", "null_": "d"}),
        ("{a: &x {b: 1}, c: {<<: *x, d: 2}}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: 1\n---\nb: 2\n", {"a": 1}),
    ],
)
def test_a_document_is_read_as_go_reads_it(text: str, value: Any) -> None:
    read, duplicates = parse_yaml(text.encode())
    assert read == value
    assert type(read) is type(value)
    assert duplicates == []


def test_the_last_of_duplicate_keys_wins_and_each_is_told_with_its_line() -> None:
    assert parse_yaml(b"a: 1\nb: {c: 1, c: 2}\na:\n  - 3\n") == (
        {"a": [3], "b": {"c": 2}},
        ['line 2: key "c" already set in map', 'line 4: key "a" already set in map'],
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "yaml: line 1: did not find expected node content"),
        ("\tbad", "yaml: found character that cannot start any token"),
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("a: *b", "yaml: unknown anchor 'b' referenced"),
        ("a: &a [*a]", "yaml: anchor 'a' value contains itself"),
        ("? [a]\n: b", "yaml: invalid map key"),
        ("~: b", "unsupported map key of type: %!s(<nil>), key: <nil>"),
        ("a: .inf", "json: unsupported value: +Inf"),
        ("a: !!int x", "yaml: cannot decode !!str `x` as a !!int"),
        ("<<: 5", "yaml: map merge requires map or sequence of maps as the value"),
    ],
)
def test_what_is_no_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadYAML) as raised:
        parse_yaml(text.encode())
    assert str(raised.value) == message


def test_aliases_of_aliases_do_not_blow_up() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    with pytest.raises(BadYAML, match="document contains excessive aliasing"):
        parse_yaml("\n".join(lines).encode())


def test_what_an_alias_repeats_is_not_shared() -> None:
    value, _ = parse_yaml(b"{a: &x [1], b: *x}")
    value["a"].append(2)
    assert value == {"a": [1, 2], "b": [1]}


@pytest.mark.parametrize("text", ["!!binary \u00e9", "!!binary a"])
def test_binary_that_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(BadYAML, match="invalid base64"):
        parse_yaml(text.encode())
