"""Programs of somebody else's as servers: when they are ready, and what a run in one process makes of them."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import ssl
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme
from _actors import Hk, watched

from hyperkube_core._errors import PluginLoadError, ServerCrashed, ServerKilled, ServerNotReady
from hyperkube_core._probe import answers
from hyperkube_core._server import Command, Server
from hyperkube_core.testing import VirtualClock, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

SERVE = (sys.executable, "-S", "-c", "import signal; signal.pause()")


@asynccontextmanager
async def answering(*statuses: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[str]]]:
    """An HTTP server that gives these answers, the last one for ever; its URL, and the requests it got."""
    requests: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status = statuses[min(len(requests), len(statuses) - 1)]
        requests.append(head.splitlines()[0])
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/healthz?verbose", requests


@pytest.mark.parametrize(("status", "ready"), [(200, True), (302, True), (399, True), (400, False), (503, False)])
async def test_a_status_below_400_is_an_answer(status: int, ready: bool) -> None:
    async with answering(status) as (url, requests):
        assert await answers(url) is ready
    assert requests == ["GET /healthz?verbose HTTP/1.1"]


async def test_a_certificate_is_not_verified() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("somebody.else").configure_cert(context)
    async with answering(200, tls=context) as (url, _):
        assert await answers(url)


async def test_nobody_listening_is_no_answer() -> None:
    async with answering(200) as (url, _):
        pass
    assert not await answers(url)


async def test_something_else_than_http_is_no_answer() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smtp ready\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        assert not await answers(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


async def test_a_program_is_ready_once_its_url_answers() -> None:
    async with (
        answering(503, 503, 200) as (url, requests),
        running(Server(name="etcd", run=Command(SERVE, ready_url=url))) as server,
    ):
        assert server.name == "etcd"
        assert len(requests) == 3


async def test_a_program_whose_url_never_answers_is_late() -> None:
    clock = VirtualClock()
    async with answering(503) as (url, _):
        late = Server(name="etcd", run=Command(SERVE, ready_url=url), start_seconds=7)

        async def block() -> None:
            async with running(late, clock=clock):
                raise AssertionError("entered")

        task = asyncio.create_task(block())
        await clock.until_sleeping(7)
        await clock.until_sleeping(0.05)
        await clock.advance(7)
        with pytest.raises(ServerNotReady):
            await task


async def test_a_program_without_a_url_is_ready_once_it_runs() -> None:
    async with running(Server(name="a", run=Command(SERVE))):
        pass


async def test_a_program_that_cannot_be_executed_never_was_ready(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF but not really")
    program.chmod(0o755)
    with pytest.raises(ServerCrashed, match="exit status 126"):
        async with running(Server(name="a", run=Command((str(program),)))):
            raise AssertionError("entered")


async def test_a_program_that_is_not_there_is_a_plugin_error() -> None:
    with pytest.raises(PluginLoadError, match="no-such-program"):
        async with running(Server(name="a", run=Command(("no-such-program",)))):
            raise AssertionError("entered")


async def test_a_program_that_a_signal_ends_is_named_with_it() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGABRT)"
    with pytest.raises(ServerKilled, match="SIGABRT") as caught:
        async with running(Server(name="a", run=Command((*SERVE[:-1], code), ready_url="http://127.0.0.1:1/"))):
            raise AssertionError("entered")
    assert caught.value.signum == signal.SIGABRT


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches processes by pidfd (Linux)")
@pytest.mark.parametrize("servers", [("program", "--daemon"), ("run", "uv", "ready", "+", "program", "--daemon")])
def test_kill_9_of_hk_ends_the_programs_it_ran_in_one_process(start_hk: Callable[..., Hk], servers: list[str]) -> None:
    run = start_hk(*servers)
    pids = run.number(r"program (\d+)"), run.number(r"grandchild (\d+)")
    with watched(*pids) as programs:
        run.send(signal.SIGKILL)
        assert all(program.ends() for program in programs)


def test_beside_others_a_programs_lines_name_it(start_hk: Callable[..., Hk]) -> None:
    run = start_hk("run", "uv", "ready", "+", "program")
    run.until(r"^program \| grandchild")
    assert run.stop() == 0
    assert "uv stops" in run.output


def test_the_end_of_the_terminal_is_a_request_to_stop(start_hk: Callable[..., Hk]) -> None:
    ours, theirs = pty.openpty()
    try:
        run = start_hk("run", "a", "ready", "+", "program", stderr=theirs)
        run.until("a said it is ready")
        run.send(signal.SIGHUP)
        assert run.wait() == 0
        assert "a stops" in run.output
    finally:
        os.close(ours)
        os.close(theirs)
