"""SPDY without a connection: frames, and what a session makes of them."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_machinery.serving.spdy.dictionary import DICTIONARY
from hyperkube_machinery.serving.spdy.frames import (
    Data,
    Frame,
    FrameError,
    FrameReader,
    FrameWriter,
    GoAway,
    Headers,
    Ping,
    Reset,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)
from hyperkube_machinery.serving.spdy.session import Accepted, Arrived, Broken, Ended, Event, Gone, Opened, Session

IDS = st.integers(1, 0x7FFFFFFF)
WORDS = st.integers(0, 0xFFFFFFFF)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz-:", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=30)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=5)
FRAMES = st.one_of(
    st.builds(Data, IDS, st.binary(max_size=300), st.booleans()),
    st.builds(SynStream, IDS, HEADERS, st.booleans(), st.booleans()),
    st.builds(SynReply, IDS, HEADERS, st.booleans()),
    st.builds(Headers, IDS, HEADERS, st.booleans()),
    st.builds(Reset, IDS, WORDS),
    st.builds(Settings, st.dictionaries(st.integers(0, 0xFFFFFF), WORDS, max_size=4)),
    st.builds(Ping, WORDS),
    st.builds(GoAway, st.integers(0, 0x7FFFFFFF), WORDS),
    st.builds(WindowUpdate, st.integers(0, 0x7FFFFFFF), st.integers(0, 0x7FFFFFFF)),
)


def joined(frames: list[Frame]) -> list[Frame]:
    """Pieces of one frame of data as one again."""
    found: list[Frame] = []
    for frame in frames:
        match found[-1:], frame:
            case [Data(stream_id, before, False)], Data(again, data, fin) if again == stream_id:
                found[-1] = Data(stream_id, before + data, fin)
            case _:
                found.append(frame)
    return found


def test_the_dictionary_is_the_one_that_all_have() -> None:
    """Its checksum stands in front of every compressed header: 0xE3C6A7C2 in captures of SPDY/3."""
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@given(st.lists(FRAMES, max_size=12), st.data())
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames: list[Frame], data: st.DataObject) -> None:
    writer, reader = FrameWriter(), FrameReader()
    raw = b"".join(map(writer.encode, frames))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    found = [
        frame for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True) for frame in reader.feed(raw[start:end])
    ]
    assert joined(found) == joined(frames)


@settings(max_examples=300)
@given(st.lists(st.one_of(st.binary(max_size=60), FRAMES.map(lambda frame: FrameWriter().encode(frame))), max_size=6))
def test_whatever_comes_is_understood_or_refused(pieces: list[bytes]) -> None:
    session = Session()
    try:
        for piece in pieces:
            for event in session.receive(piece):
                assert isinstance(event, Event)
    except FrameError:
        assert session.data_to_send()


def control(kind: int, body: bytes, *, flags: int = 0, version: int = 3, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | size) + body


def compressed(block: bytes) -> bytes:
    compressor = zlib.compressobj(zdict=DICTIONARY)
    return compressor.compress(block) + compressor.flush(zlib.Z_SYNC_FLUSH)


def pair(name: bytes, value: bytes) -> bytes:
    return len(name).to_bytes(4, "big") + name + len(value).to_bytes(4, "big") + value


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(control(6, b"\0\0\0\1", version=2), id="another version"),
        pytest.param(control(1, b"", length=(64 << 10) + 1), id="a long frame"),
        pytest.param(control(6, b"\0\0\0"), id="a short ping"),
        pytest.param(control(9, bytes(8), flags=1), id="flags where there are none"),
        pytest.param(control(4, b"\0\0\0\2" + bytes(8)), id="fewer settings than told"),
        pytest.param(control(3, bytes(8)), id="stream 0 is broken off"),
        pytest.param(struct.pack(">II", 0, 1) + b"x", id="data for stream 0"),
        pytest.param(control(1, b"\0\0\0\1"), id="a short beginning"),
        pytest.param(control(1, b"\0\0\0\1" + bytes(6) + b"garbage"), id="garbage for headers"),
        pytest.param(control(1, b"\0\0\0\1" + bytes(6) + compressed(b"\0\0\0\1\0\0\0\xffx")), id="broken headers"),
        pytest.param(control(1, b"\0\0\0\1" + bytes(6) + compressed(bytes(1 << 20))), id="a bomb"),
        pytest.param(
            control(1, b"\0\0\0\1" + bytes(6) + compressed(b"\0\0\0\1" + pair(b"Port", b"80"))), id="upper case"
        ),
        pytest.param(
            control(1, b"\0\0\0\1" + bytes(6) + compressed(b"\0\0\0\2" + 2 * pair(b"port", b"80"))), id="named twice"
        ),
        pytest.param(control(4, b"\0\0\0\1\0\0\0\x07\xff\xff\xff\xff"), id="a window that is too wide"),
        pytest.param(control(9, bytes(4) + b"\x7f\xff\xff\xff"), id="a window that grows too wide"),
    ],
)
def test_what_is_no_spdy_ends_the_connection(raw: bytes) -> None:
    session = Session()
    with pytest.raises(FrameError):
        list(session.receive(raw))
    assert list(FrameReader().feed(session.data_to_send())) == [GoAway(0, 1)]


def test_what_has_several_values_has_them_joined() -> None:
    raw = control(1, b"\0\0\0\1" + bytes(6) + compressed(b"\0\0\0\1" + pair(b"a", b"1\x002")))
    assert list(Session().receive(raw)) == [Opened(1, {"a": "1, 2"})]


def test_types_that_nobody_knows_are_passed_over() -> None:
    assert list(Session().receive(control(77, b"anything") + FrameWriter().encode(SynStream(1)))) == [Opened(1, {})]


def talked(left: Session, right: Session) -> tuple[list[Event], list[Event]]:
    """What each gets to know when all that both want to say is said."""
    at_left: list[Event] = []
    at_right: list[Event] = []
    for _ in range(4):
        at_right += right.receive(left.data_to_send())
        at_left += left.receive(right.data_to_send())
    return at_left, at_right


def test_a_stream_goes_through_its_life() -> None:
    client, server = Session(client=True), Session()
    stream = client.open({"streamtype": "data"})
    assert talked(client, server) == ([], [Opened(stream, {"streamtype": "data"})])
    server.reply(stream)
    client.send(stream, b"x" * 40_000)
    client.finish(stream)
    client.send(stream, b"too late")
    at_client, at_server = talked(client, server)
    assert at_client == [Accepted(stream, {})]
    assert at_server[-1] == Ended(stream)
    assert b"".join(event.data for event in at_server if isinstance(event, Arrived)) == b"x" * 40_000
    server.send(stream, b"answer")
    server.finish(stream)
    server.send(stream, b"too late")
    assert talked(client, server) == ([Arrived(stream, b"answer"), Ended(stream)], [])
    server.leave()
    assert talked(client, server) == ([Gone(0)], [])


def test_a_stream_is_broken_off() -> None:
    client, server = Session(client=True), Session()
    one, other = client.open({}), client.open({}, fin=True)
    assert talked(client, server)[1] == [Opened(one, {}), Opened(other, {}), Ended(other)]
    server.reset(one)
    server.reset(one)
    client.send(one, b"crosses it")
    assert talked(client, server) == ([Broken(one, 5)], [])
    server.send(one, b"nobody hears it")
    server.leave()
    assert talked(client, server) == ([Broken(other, 5), Gone(0)], [])


def sent(session: Session) -> list[Frame]:
    return list(FrameReader().feed(session.data_to_send()))


def frames(*wanted: Frame) -> bytes:
    writer = FrameWriter()
    return b"".join(map(writer.encode, wanted))


def test_ids_are_the_peers_and_rise() -> None:
    session = Session()
    assert list(session.receive(frames(SynStream(3), SynStream(2), SynStream(1), SynStream(5)))) == [
        Opened(3, {}),
        Opened(5, {}),
    ]
    assert sent(session) == [Reset(2, 1), Reset(1, 1)]
    assert list(session.receive(FrameWriter().encode(Data(7, b"x")))) == []
    assert sent(session) == [Reset(7, 2)]


def test_a_stream_that_is_begun_again_is_broken_off() -> None:
    session = Session()
    assert list(session.receive(frames(SynStream(1), SynStream(1)))) == [Opened(1, {}), Broken(1, 1)]


def test_data_behind_the_end_breaks_the_stream_off() -> None:
    session = Session()
    events = list(session.receive(frames(SynStream(1), Data(1, b"a", True), Data(1, b"b"))))
    assert events == [Opened(1, {}), Arrived(1, b"a"), Ended(1), Broken(1, 9)]


def test_more_streams_than_are_borne_are_refused() -> None:
    session = Session(most_streams=2)
    events = list(session.receive(frames(SynStream(1), SynStream(3), SynStream(5), Reset(1, 5), SynStream(7))))
    assert events == [Opened(1, {}), Opened(3, {}), Broken(1, 5), Opened(7, {})]
    assert sent(session) == [Reset(5, 3)]


def test_pings_of_the_peer_are_answered() -> None:
    session = Session()
    assert list(session.receive(frames(Ping(1), Ping(2)))) == []
    assert sent(session) == [Ping(1)]


def test_what_is_taken_is_credited() -> None:
    session = Session()
    list(session.receive(frames(SynStream(1), Data(1, bytes(40_000)))))
    assert sent(session) == []
    session.consumed(1, 40_000)
    assert sent(session) == [WindowUpdate(0, 40_000), WindowUpdate(1, 40_000)]


def test_a_peer_that_keeps_no_windows_is_sent_all() -> None:
    session = Session()
    list(session.receive(frames(SynStream(1))))
    session.send(1, bytes(1 << 20))
    assert session.room(1) > 1 << 20


def test_a_peer_that_keeps_windows_is_held_to_them() -> None:
    session = Session()
    list(session.receive(frames(Settings({7: 1000}), SynStream(1))))
    assert session.room(1) == 1000
    session.send(1, bytes(600))
    assert session.room(1) == 400
    list(session.receive(frames(Settings({7: 500}))))
    assert session.room(1) == 0
    list(session.receive(frames(WindowUpdate(1, 1 << 20))))
    assert session.room(1) == 65536 - 600, "the connection's own"
    list(session.receive(frames(WindowUpdate(0, 1 << 20))))
    assert session.room(1) == (1 << 20) + 500 - 600
