"""What serving costs beside the least that could answer: `python -m tests.bench.serving`.

A handler that answers at once is compared, over TLS with keep-alive, with a protocol that parses with httptools and
writes constant bytes. Both run on uvloop, each in a process of its own, and take turns on one core; the client is on
another one. What counts is the processor time a request takes: it is the same on a machine that has other things to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import httptools

from hyperkube_machinery import tls
from hyperkube_machinery.serving import loop as loops
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.testing.waiting import until

MOST_TIME = 1.6
"""A request here may take so many times the processor time of the bare responder."""

MOST_IDLE_BYTES = {"uvloop": 40_000, "asyncio": 60_000}

_BODY = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}' * 20
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 21 Sep 2026 14:13:20 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_REQUEST = (
    b"GET /api/v1/namespaces/default/pods/a HTTP/1.1\r\nHost: 127.0.0.1:6443\r\n"
    b"User-Agent: kubectl/v1.36.0 (linux/amd64) kubernetes/0000000\r\nAccept: application/json\r\n"
    b"Authorization: Bearer 0123456789abcdef0123456789abcdef\r\nAccept-Encoding: gzip\r\n\r\n"
)
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Bare(asyncio.BufferedProtocol):
    """Answers whatever comes."""

    _buffer = memoryview(bytearray(64 * 1024))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._parser.feed_data(self._buffer[:nbytes])

    def on_message_complete(self) -> None:
        self._transport.write(_ANSWER)


class Client(asyncio.Protocol):
    """Asks again as soon as it has its answer, until told to stop."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        self._missing = len(_ANSWER)
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._missing -= len(data)
        if self._missing < 0:
            raise RuntimeError("the answers are not of the size that is expected")
        if not self._missing:
            self._load.answered(self)


@dataclass
class Load:
    """Counts answers while it lasts."""

    running: bool = True
    answers: int = 0

    def has_answers(self, count: int) -> bool:
        return self.answers >= count

    def answered(self, client: Client) -> None:
        self.answers += 1
        if self.running:
            client.ask()


async def _offer(kind: str, folder: Path) -> None:
    context = tls.server_context(folder / "s.crt", folder / "s.key", client_ca_path=folder / "ca.crt")
    if kind == "bare":
        bare = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0, ssl=context)
        print(bare.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()

    def handler(request: Request) -> Response:
        return Response(200, _BODY)

    async with HTTPServer(handler, ssl_context=context).listening() as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()


def _serve(kind: str, loop: str, folder: Path) -> None:
    """The server's process."""
    with asyncio.Runner(loop_factory=loops.new_event_loop if loop == "uvloop" else loops._asyncio_loop) as runner:
        runner.run(_offer(kind, folder))


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    port: int

    @property
    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    @property
    def memory_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(kind: str, loop: str, folder: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "tests.bench.serving", "--serve", kind, "--loop", loop, "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
            yield Server(process, int(process.stdout.readline()))
        finally:
            process.kill()


async def _load(server: Server, context: ssl.SSLContext, connections: int, seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    load = Load()
    clients = []
    for _ in range(connections):
        transport, client = await loop.create_connection(lambda: Client(load), "127.0.0.1", server.port, ssl=context)
        clients.append((transport, client))
    for _, client in clients:
        client.ask()
    await asyncio.sleep(0.2)  # for its caches to fill
    answers, processor, began = load.answers, server.processor_seconds, time.monotonic()
    await asyncio.sleep(seconds)
    answers = load.answers - answers
    processor = server.processor_seconds - processor
    took = time.monotonic() - began
    load.running = False
    for transport, _ in clients:
        transport.abort()
    await asyncio.sleep(0.05)
    return {"per_second": answers / took, "microseconds": processor / answers * 1e6}


async def _idle_bytes(server: Server, context: ssl.SSLContext, connections: int) -> float:
    loop = asyncio.get_running_loop()
    kept = []

    async def grow(count: int) -> int:
        load = Load(running=False)
        for number in range(count):
            transport, client = await loop.create_connection(
                lambda: Client(load), "127.0.0.1", server.port, ssl=context
            )
            client.ask()
            kept.append(transport)
            await until(partial(load.has_answers, number + 1))
        return server.memory_bytes

    before = await grow(100)
    grown = await grow(connections) - before
    for transport in kept:
        transport.abort()
    return grown / connections


def _client_context(folder: Path) -> ssl.SSLContext:
    return tls.client_context(ca_pem=(folder / "ca.crt").read_bytes())


def _make_pki(folder: Path) -> None:
    now = time.time()
    ca = tls.create_ca("bench", now=now)
    tls.save(ca, folder / "ca.crt", folder / "ca.key")
    tls.save(tls.issue_serving_certificate(ca, "bench", ["127.0.0.1"], now=now), folder / "s.crt", folder / "s.key")


def measure(folder: Path, *, rounds: int, seconds: float, connections: int, idle: int) -> dict[str, Any]:
    context = _client_context(folder)
    taken: dict[str, list[dict[str, float]]] = {"bare": [], "hk": []}
    idle_bytes = {}
    cores = sorted(os.sched_getaffinity(0))
    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        with ExitStack() as stack:
            servers = {kind: stack.enter_context(serving(kind, "uvloop", folder)) for kind in taken}
            os.sched_setaffinity(0, set(cores[1:]) or set(cores))
            for _ in range(rounds):
                for kind, server in servers.items():
                    taken[kind].append(runner.run(_load(server, context, connections, seconds)))
        os.sched_setaffinity(0, set(cores))
        for loop in MOST_IDLE_BYTES:
            with serving("hk", loop, folder) as server:
                idle_bytes[loop] = round(runner.run(_idle_bytes(server, context, idle)))
    pairs = list(zip(taken["hk"], taken["bare"], strict=True))
    return {
        "per_second": {
            kind: round(statistics.median(one["per_second"] for one in took)) for kind, took in taken.items()
        },
        "microseconds": {
            kind: round(statistics.median(one["microseconds"] for one in took), 1) for kind, took in taken.items()
        },
        "ratio": round(statistics.median(hk["microseconds"] / bare["microseconds"] for hk, bare in pairs), 3),
        "idle_bytes": idle_bytes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--loop", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve(arguments.serve, arguments.loop, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        _make_pki(Path(folder))
        found = measure(
            Path(folder),
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            connections=arguments.connections,
            idle=arguments.idle,
        )
    met = found["ratio"] <= MOST_TIME and all(
        found["idle_bytes"][loop] <= most for loop, most in MOST_IDLE_BYTES.items()
    )
    if arguments.json:
        print(json.dumps({**found, "met": met}, indent=2))
    else:
        for kind in ("bare", "hk"):
            print(f"{kind:<5} {found['per_second'][kind]:>7} a second   {found['microseconds'][kind]:>6} µs a request")
        print(f"ratio of processor time {found['ratio']} (at most {MOST_TIME})")
        for loop, most in MOST_IDLE_BYTES.items():
            print(f"idle TLS connection on {loop}: {found['idle_bytes'][loop]} bytes (at most {most})")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
