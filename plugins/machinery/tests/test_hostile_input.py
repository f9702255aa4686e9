"""Whatever a client sends is read or refused in the way that is documented, and neither takes long."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_machinery import durations, jsontext, quantity, selectors, timestamps
from hyperkube_machinery.decoding import read_object
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.jsonpath import JSONPathError, check_json_path
from hyperkube_machinery.patches import json as json_patch
from hyperkube_machinery.patches import merge, strategic
from hyperkube_machinery.patterns import PatternError, matches
from hyperkube_machinery.protobuf import BadProtobuf, decode_message, open_envelope
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.yamltext import BadYAML, parse_yaml

POD = "io.k8s.api.core.v1.Pod"
DOCUMENT: dict[str, Any] = {
    "metadata": {"name": "a", "labels": {"a": "b"}},
    "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]},
}


def _pod(media_type: str) -> Callable[[bytes], object]:
    def read(body: bytes) -> object:
        return read_object(
            body, media_type, Schemas.load().walker(POD), group_version="v1", kind="Pod", field_validation="Warn"
        )

    return read


def _message(body: bytes) -> object:
    open_envelope(b"k8s\0" + body)
    return decode_message(Schemas.load().table, POD, body)


def _json_patch(body: bytes) -> object:
    return json_patch.read(body)[0](json.loads(json.dumps(DOCUMENT)))


def _merge_patch(body: bytes) -> object:
    return merge.read(body)[0](json.loads(json.dumps(DOCUMENT)))


def _strategic_patch(body: bytes) -> object:
    return strategic.read(body, POD)[0](json.loads(json.dumps(DOCUMENT)))


# What reads bytes, and what it may raise.
BODIES: dict[str, tuple[Callable[[bytes], object], type[Exception]]] = {
    "json": (jsontext.parse, jsontext.BadJSON),
    "exact json": (jsontext.parse_exactly, jsontext.BadJSON),
    "yaml": (parse_yaml, BadYAML),
    "protobuf": (_message, BadProtobuf),
    "json patch": (_json_patch, APIError),
    "merge patch": (_merge_patch, APIError),
    "strategic patch": (_strategic_patch, APIError),
    "pod in json": (_pod("application/json"), APIError),
    "pod in yaml": (_pod("application/yaml"), APIError),
    "pod in protobuf": (_pod("application/vnd.kubernetes.protobuf"), APIError),
}
# What reads text, and what it may raise.
TEXTS: dict[str, tuple[Callable[[str], object], type[Exception]]] = {
    "quantity": (quantity.canonical, quantity.QuantityError),
    "time": (timestamps.normal_seconds, timestamps.TimestampError),
    "micro time": (timestamps.normal_micro, timestamps.TimestampError),
    "duration": (durations.parse_duration, ValueError),
    "labels": (selectors.parse_labels, APIError),
    "fields": (selectors.parse_fields, APIError),
    "json path": (check_json_path, JSONPathError),
    "pattern": (lambda text: matches(text, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"), PatternError),
}
# Pieces of which the inputs are made that take parsers long: nesting, backtracking, endless numbers and escapes.
UNITS = (
    *("[", "{", '{"a":', '[{"a":', "]", "}", "1", "0", "9.", "1e", "-", "+", ".", '"', "\\", "\\u00", "\\ud800", " "),
    *(
        "\t",
        "\n",
        "a",
        "a,",
        "a=",
        "a in (",
        "!",
        "(",
        ")",
        ",",
        "a b",
        "x ",
        "&a ",
        "*a ",
        "- ",
        "? ",
        ": ",
        "a: ",
        "'",
    ),
    *("#", "%", "%25", "1h", "1Ki", "2026-", "T", "(a+)+", "(a|a)*", "(a{1,9}){1,9}", "[?(", "..", "é", "\u2028", "𐀀"),
    *("\0", "\x7f", "<<: ", "!!int ", "!!binary ", "--- ", '{"op":"add","path":"/a/-","value":[]},'),
)
PREFIXES = ("", "[", '{"spec":', "1", "a=", "a in (", "{.")
LENGTH = 6_000
LONGEST_SECONDS = 2.0


@settings(max_examples=80)
@given(st.data())
@pytest.mark.parametrize("name", BODIES)
def test_any_body_is_read_or_refused(name: str, data: st.DataObject) -> None:
    read, refusal = BODIES[name]
    body = data.draw(
        st.binary(max_size=60)
        | st.lists(st.sampled_from(UNITS), max_size=20).map(
            lambda units: "".join(units).encode("utf-8", "surrogatepass")
        )
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        ["op", "path", "value", "from", "spec", "metadata", "$patch", "containers", "name", "a"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode())
    )
    with contextlib.suppress(refusal):
        read(body)


@settings(max_examples=150)
@given(text=st.text(max_size=40) | st.lists(st.sampled_from(UNITS), max_size=20).map("".join))
@pytest.mark.parametrize("name", TEXTS)
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    read, refusal = TEXTS[name]
    with contextlib.suppress(refusal):
        read(text)


def _seconds(read: Callable[[Any], object], refusal: type[Exception], given: Any) -> float:
    started = time.process_time()
    with contextlib.suppress(refusal):
        read(given)
    return time.process_time() - started


@pytest.mark.parametrize("name", BODIES)
def test_no_long_body_takes_long(name: str) -> None:
    read, refusal = BODIES[name]
    for prefix in PREFIXES:
        for unit in UNITS:
            body = (prefix + unit * (LENGTH // len(unit))).encode("utf-8", "surrogatepass")
            assert _seconds(read, refusal, body) < LONGEST_SECONDS, (prefix, unit)


@pytest.mark.parametrize("name", TEXTS)
def test_no_long_text_takes_long(name: str) -> None:
    read, refusal = TEXTS[name]
    for prefix in PREFIXES:
        for unit in UNITS:
            text = prefix + unit * (LENGTH // len(unit))
            assert _seconds(read, refusal, text) < LONGEST_SECONDS, (prefix, unit)
            assert _seconds(read, refusal, text + "!") < LONGEST_SECONDS, (prefix, unit)


@pytest.mark.parametrize(
    "number",
    ["1" * LENGTH, "1e999999999", "1e-999999999", "0." + "1" * LENGTH, "-" + "9" * LENGTH, "1" * LENGTH + "Ki"],
)
def test_no_number_takes_long(number: str) -> None:
    for read, refusal in TEXTS.values():
        assert _seconds(read, refusal, number) < LONGEST_SECONDS
    for read_body, refused in BODIES.values():
        for document in (
            number,
            f'{{"spec":{{"priority":{number}}}}}',
            f'[{{"op":"add","path":"/{number}","value":1}}]',
        ):
            assert _seconds(read_body, refused, document.encode()) < LONGEST_SECONDS


def test_what_matches_in_exponential_time_elsewhere_matches_quickly_here() -> None:
    started = time.process_time()
    assert not matches("^(a+)+$", "a" * 5000 + "!")
    assert time.process_time() - started < LONGEST_SECONDS
