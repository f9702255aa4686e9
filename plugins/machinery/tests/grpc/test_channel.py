"""Calls over a Unix socket, to a server that does as the test says."""

from __future__ import annotations

import asyncio
import struct
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings

from hyperkube_machinery.grpc import CallFailed, Channel, Code
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

pytestmark = pytest.mark.anyio


class Server:
    """Answers calls by `answer`, given the method and the message."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="hk-grpc-")
        self.path = Path(self.folder.name) / "s"
        self.answer: Callable[[Call], None] = lambda call: call.reply(call.message)
        self.calls: list[Call] = []
        self.begun: list[Call] = []
        self.cancelled = 0
        self.hung_up = 0  # clients that have
        self.most_calls: int | None = None  # at once
        self.reads = True  # and gives room for more
        self._unread = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        await self._server.wait_closed()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        if self.most_calls is not None:
            settings = {SettingCodes.MAX_CONCURRENT_STREAMS: self.most_calls}
            connection.local_settings = Settings(client=False, initial_values=settings)
        connection.initiate_connection()
        open_calls: dict[int, Call] = {}
        while True:
            writer.write(connection.data_to_send())
            data = await reader.read(65536)
            if not data:
                self.hung_up += 1
                writer.close()
                return
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    headers = {str(name): str(value) for name, value in event.headers}
                    open_calls[event.stream_id] = Call(connection, writer, event.stream_id, headers)
                    self.begun.append(open_calls[event.stream_id])
                elif isinstance(event, DataReceived):
                    open_calls[event.stream_id].data += event.data
                    if self.reads:
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    else:
                        self._unread += event.flow_controlled_length
                elif isinstance(event, StreamEnded):
                    self.calls.append(open_calls[event.stream_id])
                    self.answer(open_calls[event.stream_id])
                elif isinstance(event, StreamReset):
                    self.cancelled += 1

    def read_on(self) -> None:
        """Give the first call the room that was kept from it."""
        self.reads = True
        call = self.begun[0]
        call.connection.acknowledge_received_data(self._unread, call.stream)
        call.writer.write(call.connection.data_to_send())


class Call:
    def __init__(
        self, connection: H2Connection, writer: asyncio.StreamWriter, stream: int, headers: dict[str, str]
    ) -> None:
        self.connection, self.writer, self.stream, self.headers = connection, writer, stream, headers
        self.data = b""

    @property
    def message(self) -> bytes:
        return self.data[5:]

    def begin(self) -> None:
        self.connection.send_headers(self.stream, [(":status", "200"), ("content-type", "application/grpc")])

    def send(self, message: bytes) -> None:
        framed = struct.pack("!BI", 0, len(message)) + message
        for start in range(0, len(framed), 16384):
            self.connection.send_data(self.stream, framed[start : start + 16384])

    def end(self, status: int = 0, message: str = "") -> None:
        trailers = [("grpc-status", str(status)), ("grpc-message", message)]
        self.connection.send_headers(self.stream, trailers, end_stream=True)
        self.writer.write(self.connection.data_to_send())

    def reply(self, message: bytes) -> None:
        self.begin()
        self.send(message)
        self.end()

    def reset(self) -> None:
        self.connection.reset_stream(self.stream)
        self.writer.write(self.connection.data_to_send())

    def go_away(self, last: int) -> None:
        """Take no more calls on this connection, none behind `last`."""
        self.writer.write(struct.pack("!HBBBIII", 0, 8, 7, 0, 0, last, 0))

    def refuse(self, status: int, message: str) -> None:
        """Without a message, as gRPC's servers do: trailers alone."""
        head = [(":status", "200"), ("grpc-status", str(status)), ("grpc-message", message)]
        self.connection.send_headers(self.stream, head, end_stream=True)
        self.writer.write(self.connection.data_to_send())


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()
    server.folder.cleanup()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def channel(server: Server, clock: VirtualClock) -> AsyncIterator[Channel]:
    channel = Channel(server.path, clock)
    yield channel
    await channel.close()


async def test_a_call_is_answered(server: Server, channel: Channel) -> None:
    assert await channel.call("/x.Y/Z", b"hello") == b"hello"
    headers = server.calls[0].headers
    assert (headers[":path"], headers["content-type"], headers["te"]) == ("/x.Y/Z", "application/grpc", "trailers")
    assert "grpc-timeout" not in headers


@pytest.mark.parametrize("size", [0, 1, 16379, 100_000, 3_000_000])
async def test_messages_may_be_large(channel: Channel, server: Server, size: int) -> None:
    def in_pieces(call: Call) -> None:  # as much as the window of both sides at first allows
        call.begin()
        call.send(call.message[:30_000])
        call.end()

    server.answer = in_pieces
    assert await channel.call("/x.Y/Z", b"x" * size) == b"x" * min(size, 30_000)
    assert len(server.calls[0].message) == size


async def test_many_calls_go_at_once(channel: Channel, server: Server) -> None:
    answers = await asyncio.gather(*(channel.call("/x.Y/Z", bytes([number])) for number in range(100)))
    assert answers == [bytes([number]) for number in range(100)]
    assert len({call.connection for call in server.calls}) == 1


@pytest.mark.parametrize(
    ("status", "message", "code", "text"),
    [
        (5, "no such thing", Code.NOT_FOUND, "rpc error: code = NotFound desc = no such thing"),
        (2, "a%20b %E2%82%AC", Code.UNKNOWN, "rpc error: code = Unknown desc = a b €"),
        (4, "late", Code.DEADLINE_EXCEEDED, "rpc error: code = DeadlineExceeded desc = late"),
        (99, "odd", Code.UNKNOWN, "rpc error: code = Unknown desc = odd"),
    ],
)
async def test_a_refusal_has_a_code_and_words(
    channel: Channel, server: Server, status: int, message: str, code: Code, text: str
) -> None:
    server.answer = lambda call: call.refuse(status, message)
    with pytest.raises(CallFailed) as failed:
        await channel.call("/x.Y/Z", b"")
    assert (failed.value.code, str(failed.value)) == (code, text)


async def test_a_call_that_takes_too_long_is_cancelled(channel: Channel, server: Server, clock: VirtualClock) -> None:
    server.answer = lambda call: None
    call = asyncio.ensure_future(channel.call("/x.Y/Z", b"", seconds=120))
    await until(lambda: bool(server.calls))
    assert server.calls[0].headers["grpc-timeout"] == "120000m"
    await clock.advance(121)
    with pytest.raises(CallFailed) as failed:
        await call
    assert str(failed.value) == "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    await until(lambda: server.cancelled == 1)


async def test_a_stream_goes_on_until_it_is_ended(channel: Channel, server: Server) -> None:
    def three(call: Call) -> None:
        call.begin()
        for number in range(3):
            call.send(bytes([number]) * 20_000)
        call.end()

    server.answer = three
    async with aclosing(channel.stream("/x.Y/Z", b"")) as messages:
        assert [message[:1] async for message in messages] == [b"\0", b"\1", b"\2"]


async def test_a_stream_that_its_reader_leaves_is_cancelled(channel: Channel, server: Server) -> None:
    def one(call: Call) -> None:
        call.begin()
        call.send(b"x")
        call.writer.write(call.connection.data_to_send())

    server.answer = one
    async with aclosing(channel.stream("/x.Y/Z", b"")) as messages:
        assert await anext(messages) == b"x"
    await until(lambda: server.cancelled == 1)


async def test_calls_of_a_lost_connection_fail_and_the_next_makes_another(channel: Channel, server: Server) -> None:
    server.answer = lambda call: None
    call = asyncio.ensure_future(channel.call("/x.Y/Z", b""))
    await until(lambda: bool(server.calls))
    await server.stop()
    with pytest.raises(CallFailed) as failed:
        await call
    assert failed.value.code is Code.UNAVAILABLE
    await server.start()
    server.answer = lambda call: call.reply(b"again")
    assert await channel.call("/x.Y/Z", b"") == b"again"


async def test_whoever_does_not_listen_is_asked_less_and_less_often(
    channel: Channel, server: Server, clock: VirtualClock
) -> None:
    await server.stop()
    text = f'Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix {server.path}:'
    with pytest.raises(CallFailed, match="connect: no such file or directory") as failed:
        await channel.call("/x.Y/Z", b"")
    assert text in str(failed.value)
    await server.start()
    with pytest.raises(CallFailed, match="no such file"):
        await channel.call("/x.Y/Z", b"")  # it is not tried yet
    await clock.advance(0.2)
    assert await channel.call("/x.Y/Z", b"here") == b"here"


async def test_what_speaks_no_http_is_told(clock: VirtualClock, server: Server) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()  # until the other side hangs up
        writer.close()

    path = server.path.with_name("other")
    other = await asyncio.start_unix_server(nonsense, str(path))
    channel = Channel(path, clock)
    with pytest.raises(CallFailed) as failed:
        await channel.call("/x.Y/Z", b"")
    assert failed.value.code is Code.UNAVAILABLE
    await channel.close()
    other.close()


async def test_calls_wait_for_their_turn_where_the_server_takes_but_a_few(channel: Channel, server: Server) -> None:
    server.most_calls = 2
    server.answer = lambda call: None
    assert (await asyncio.wait({first := asyncio.ensure_future(channel.call("/x.Y/Z", b"0"))}, timeout=0))[1]
    await until(lambda: bool(server.calls))
    given_up = [asyncio.ensure_future(channel.call("/x.Y/Z", b"-")) for _ in range(2)]
    await until(lambda: len(server.calls) == 2)
    others = [asyncio.ensure_future(channel.call("/x.Y/Z", bytes([number]))) for number in range(20)]
    await asyncio.sleep(0)
    given_up[1].cancel()  # it waits
    server.answer = lambda call: call.reply(call.message)
    for call in server.calls:
        call.reply(call.message)
    assert await asyncio.gather(*others) == [bytes([number]) for number in range(20)]
    assert await first == b"0"


async def test_calls_that_wait_for_their_turn_fail_with_the_connection(channel: Channel, server: Server) -> None:
    server.most_calls = 1
    server.answer = lambda call: None
    calls = [asyncio.ensure_future(channel.call("/x.Y/Z", b""))]
    await until(lambda: bool(server.calls))
    calls += [asyncio.ensure_future(channel.call("/x.Y/Z", b"")) for _ in range(3)]
    await asyncio.sleep(0)
    await server.stop()
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert [getattr(failure, "code", failure) for failure in failures] == [Code.UNAVAILABLE] * 4
    assert len(server.calls) == 1


async def test_a_server_that_goes_away_still_answers_what_it_has_taken(channel: Channel, server: Server) -> None:
    server.answer = lambda call: None
    calls = [asyncio.ensure_future(channel.call("/x.Y/Z", bytes([number]))) for number in range(3)]
    await until(lambda: len(server.calls) == 3)
    first, second, third = server.calls
    first.go_away(second.stream)
    with pytest.raises(CallFailed, match="Unavailable"):
        await calls[2]
    server.answer = lambda call: call.reply(b"anew")
    assert await channel.call("/x.Y/Z", b"") == b"anew"
    assert server.calls[-1].connection is not third.connection
    for call in (first, second):
        call.reply(call.message)
    assert await asyncio.gather(*calls[:2]) == [b"\0", b"\1"]
    await until(lambda: server.hung_up == 1)


async def test_whoever_sends_more_than_is_read_is_told_when_the_call_is_over(channel: Channel, server: Server) -> None:
    server.reads = False
    async with channel.open("/x.Y/Z") as call:
        await call.send(b"x" * 3_000_000)
        senders = [asyncio.ensure_future(call.send(b"x")) for _ in range(2)]
        await until(lambda: bool(server.begun))
        server.begun[0].reset()
        failures = await asyncio.gather(*senders, return_exceptions=True)
        assert [type(failure) for failure in failures] == [CallFailed, CallFailed]


async def test_several_senders_wait_for_the_same_room(channel: Channel, server: Server) -> None:
    server.reads = False
    async with channel.open("/x.Y/Z") as call:
        await call.send(b"x" * 3_000_000)
        senders = [asyncio.ensure_future(call.send(b"x")) for _ in range(3)]
        await until(lambda: bool(server.begun))
        server.read_on()
        await asyncio.gather(*senders)
