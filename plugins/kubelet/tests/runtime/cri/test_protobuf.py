"""Messages on the wire, as every implementation of protobuf has them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_kubelet.runtime.cri.messages import MESSAGES, SIGNALS
from hyperkube_machinery.grpc import BadMessage, Messages

TABLE = Messages(
    """
Whole: text=1:string number=2:int flag=3:bool raw=4:bytes names=5:string* pairs=6:map part=7:Part parts=8:Part*\
 numbers=9:int* size=10:uint share=11:double
Part: text=1:string
"""
)
EMPTY: dict[str, Any] = {
    "text": "",
    "number": 0,
    "flag": False,
    "raw": b"",
    "names": [],
    "pairs": {},
    "part": None,
    "parts": [],
    "numbers": [],
    "size": 0,
    "share": 0.0,
}


@pytest.mark.parametrize(
    ("tree", "data"),
    [
        ({}, b""),
        ({"text": "testing"}, b"\x0a\x07testing"),  # the example of the encoding's own guide
        ({"number": 150}, b"\x10\x96\x01"),
        ({"number": -1}, b"\x10" + b"\xff" * 9 + b"\x01"),
        ({"flag": True}, b"\x18\x01"),
        ({"names": ["a", ""]}, b"\x2a\x01a\x2a\x00"),
        ({"pairs": {"k": "v"}}, b"\x32\x06\x0a\x01k\x12\x01v"),
        ({"part": {"text": "x"}}, b"\x3a\x03\x0a\x01x"),
        ({"part": {"text": ""}}, b"\x3a\x00"),  # it is there, and has nothing in it
        ({"share": 1.0}, b"\x59\x00\x00\x00\x00\x00\x00\xf0\x3f"),
    ],
)
def test_a_message_is_written_and_read(tree: dict[str, Any], data: bytes) -> None:
    assert TABLE.encode("Whole", tree) == data
    assert TABLE.decode("Whole", data) == {**EMPTY, **tree}


def test_what_is_not_given_is_not_sent() -> None:
    assert TABLE.encode("Whole", {**EMPTY, "part": None}) == b""


def test_numbers_are_read_packed_as_well() -> None:
    assert TABLE.decode("Whole", b"\x4a\x04\x01\x96\x01\x02")["numbers"] == [1, 150, 2]


def test_fields_of_newer_versions_are_left_out() -> None:
    unknown = b"\xf8\x01\x05" + b"\xfa\x01\x02hi" + b"\xfd\x01abcd" + b"\xf9\x01abcdefgh"
    assert TABLE.decode("Whole", unknown + b"\x0a\x01x")["text"] == "x"


@pytest.mark.parametrize(
    "data", [b"\x0a\x05ab", b"\x0a", b"\x10\x80", b"\x10" + b"\xff" * 11, b"\x0b", b"\x3a\x02\x0a\x05", b"\x08\x01"]
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage, match="this is no Whole"):
        TABLE.decode("Whole", data)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with suppress(BadMessage):
        MESSAGES.decode("ContainerStatusResponse", data)


@given(st.text(), st.integers(-(1 << 63), (1 << 63) - 1), st.dictionaries(st.text(), st.text()))
def test_what_is_written_is_read(text: str, number: int, pairs: dict[str, str]) -> None:
    tree = {"text": text, "number": number, "pairs": pairs}
    try:
        data = TABLE.encode("Whole", tree)
    except UnicodeEncodeError:  # half of a pair of surrogates
        return
    assert {name: TABLE.decode("Whole", data)[name] for name in tree} == tree


def test_a_name_that_is_no_field_is_an_error() -> None:
    with pytest.raises(KeyError):
        TABLE.encode("Whole", {"txt": "x"})


def test_signals_have_their_numbers() -> None:
    assert (len(SIGNALS), SIGNALS[0], SIGNALS[22], SIGNALS[34], SIGNALS[35], SIGNALS[64]) == (
        65,
        "SIGABRT",
        "SIGTERM",
        "SIGRTMIN",
        "SIGRTMIN+1",
        "SIGRTMAX",
    )
