"""The kubelet's API over real connections."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.anyio

UPGRADE = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n"


async def test_who_may_not_gets_nothing(kubelet: Any) -> None:
    async with kubelet.wire() as wire:
        answer = await wire.ask("GET", "/pods", headers="who: x\r\n")
    assert (answer.status, answer.body) == (403, b"Forbidden (user=who, verb=get, resource=nodes)")


async def test_pods_are_told(kubelet: Any) -> None:
    async with kubelet.wire() as wire:
        for path in ("/pods", "/runningpods/"):
            answer = await wire.ask("GET", path)
            assert [pod["metadata"]["name"] for pod in json.loads(answer.body)["items"]] == ["p"]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/containerLogs/ns/no/c", 404, 'pod "no" does not exist'),
        ("/containerLogs/ns/p/no", 404, 'container "no" not found in pod "p"'),
        ("/containerLogs/ns/p/c?previous=true", 400, 'previous terminated container "c" in pod "p" not found'),
        ("/exec/ns/p/c?command=0&output=1", 400, "unable to upgrade: header X-Stream-Protocol-Version does not exist"),
        ("/portForward/ns/p", 400, "unable to upgrade: header X-Stream-Protocol-Version does not exist"),
        ("/portForward/ns/no", 404, 'pod "no" does not exist'),
        ("/portForward/ns/p/another", 404, 'pod "p" does not exist'),
        ("/exec/ns/p/c?output=1", 400, "you must specify a command"),
        ("/exec/ns/p/c?command=0", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("/nothing", 404, "404 page not found"),
        ("/healthz", 200, "ok"),
    ],
)
async def test_answers(kubelet: Any, path: str, status: int, text: str) -> None:
    async with kubelet.wire() as wire:
        answer = await wire.ask("GET", path)
    assert answer.status == status
    assert answer.body.decode().startswith(text)


@pytest.mark.parametrize("path", ["/exec/ns/p/no?command=0&output=1", "/attach/ns/p/c", "/portForward/ns/no"])
async def test_what_streams_are_refused_with_is_shown_by_kubectl(kubelet: Any, path: str) -> None:
    """It reads what answers an upgrade as a Status in YAML, if it can, and shows its message: none."""
    async with kubelet.wire() as wire:
        answer = await wire.ask("POST", path, headers=UPGRADE)
    assert answer.status >= 400
    assert b": " not in answer.body


async def test_a_log_is_answered(kubelet: Any) -> None:
    kubelet.runtime.log.write_bytes(b"2026-01-02T03:04:05.000000000Z stdout F hello\n")
    async with kubelet.wire() as wire:
        answer = await wire.ask("GET", "/containerLogs/ns/p/c?tailLines=1")
    assert (answer.status, answer.body) == (200, b"hello\n")


async def test_a_command_gets_its_input_and_gives_its_output_and_code(kubelet: Any) -> None:
    async with kubelet.exec("command=3&command=x&input=1&output=1&error=1") as socket:
        assert await socket.recv() == b"\x01", "it says that it is there"
        assert await socket.recv() == b"\x02begun"
        await socket.send(b"\x00hello")
        assert await socket.recv() == b"\x01hello"
        await socket.send(b"\xff\x00")
        message = await socket.recv()
        assert isinstance(message, bytes)
        status = json.loads(message[1:])
        assert message[0] == 3
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
        assert status["reason"] == "NonZeroExitCode"
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert kubelet.runtime.started[0].command == ["3", "x"]
    assert kubelet.runtime.left == 1


async def test_success_is_told(kubelet: Any) -> None:
    async with kubelet.exec("command=0&input=1&error=1") as socket:
        await socket.send(b"\xff\x00")
        messages = [message async for message in socket]
    assert messages == [b"\x02", b"\x02begun", b'\x03{"metadata":{},"status":"Success"}']


async def test_a_terminal_is_resized(kubelet: Any) -> None:
    async with kubelet.exec("command=0&input=1&output=1&tty=1") as socket:
        await socket.send(b'\x04{"Width":80,"Height":25}')
        await socket.send(b"\x04nonsense")
        await socket.send(b"\xff\x00")
        messages = [message async for message in socket]
    assert messages[0] == b"\x01"
    assert messages[-1][0] == 3
    assert kubelet.runtime.started[0].sizes == [(80, 25)]


async def test_a_command_that_cant_be_started_is_told(kubelet: Any) -> None:
    async with kubelet.exec("command=nothing&output=1&error=1") as socket:
        messages = [message async for message in socket]
    assert messages[:2] == [b"\x01", b"\x02no such program: nothing\n"]
    status = json.loads(messages[-1][1:])
    assert "no such program: nothing" in status["message"]
    assert status["details"]["causes"][0]["message"] == "127"


async def test_where_there_is_a_terminal_it_is_told_there(kubelet: Any) -> None:
    async with kubelet.exec("command=nothing&output=1&input=1&tty=1") as socket:
        messages = [message async for message in socket]
    assert messages[:2] == [b"\x01", b"\x01no such program: nothing\r\n"]


async def test_a_client_that_goes_ends_its_command(kubelet: Any) -> None:
    async with kubelet.exec("command=0&input=1&output=1&error=1") as socket:
        await socket.recv()
        socket.transport.abort()
    async with asyncio.timeout(10):
        while not kubelet.runtime.left:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


async def test_an_unknown_subprotocol_is_refused(kubelet: Any) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with kubelet.exec("command=0&output=1", "v9.channel.k8s.io"):
            pass
    assert refused.value.response.status_code == 400
