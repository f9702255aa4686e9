"""Where the kubelet's API is served."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any, cast

import pytest

from hyperkube_core import SettingsError
from hyperkube_kubelet.api.serving import api_served
from hyperkube_kubelet.api.systemlogs import log_file
from hyperkube_kubelet.options import Options
from hyperkube_kubelet.runtime.hollow import HollowRuntime
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.exchange import Peer, exchange
from hyperkube_machinery.serving.messages import Answer, Request, Response, StreamingResponse
from hyperkube_machinery.serving.metrics import Registry

from ..pods.harness import FACTS

pytestmark = pytest.mark.anyio


class NoPods:
    def pod_named(self, namespace: str, name: str) -> None:
        return None

    def pods(self) -> list[dict[str, object]]:
        return []


async def no_figures(request: Request) -> Answer | None:
    return None


async def answers(root: Path, paths: list[str], **changes: object) -> dict[str, tuple[int, bytes]]:
    options = Options(
        pod_manifest_path=root,
        root_dir=root,
        anonymous_auth=True,
        authorization_mode="AlwaysAllow",
        **{"port": 0, "healthz_port": 0, **changes},  # type: ignore[arg-type]
    )
    clock = SystemClock()
    runtime = HollowRuntime(clock)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    found = {}
    async with api_served(
        options, FACTS, NoPods(), runtime, client=None, clock=clock, checks={}, registry=Registry(), figures=no_figures
    ) as port:
        for path in paths:
            answer = await exchange(Peer("127.0.0.1", port, trusting), "GET", path, [("Host", "n")])
            found[path] = answer.status, await answer.body(100_000)
            answer.close()
    await runtime.close()
    return found


@pytest.mark.parametrize("name", ["port", "healthz_port"])
async def test_a_port_that_is_taken_is_told_of(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError) as refused:
            await answers(tmp_path, [], **{name: port})
    flag, why = f"flag --{name.replace('_', '-')}", f"cannot listen on 127.0.0.1:{port}: Address already in use"
    assert str(refused.value) == f"{flag}: {why}; choose another port"


async def test_debugging_can_be_left_out(tmp_path: Path) -> None:
    debugging = ["/exec/a/b/c?command=x", "/attach/a/b/c", "/portForward/a/b", "/containerLogs/a/b/c", "/runningpods/"]
    refused = await answers(tmp_path, [*debugging, "/pods"], enable_debugging_handlers=False)
    assert refused.pop("/pods")[0] == 200
    assert set(refused.values()) == {(405, b"Debug endpoints are disabled.\n")}
    assert (await answers(tmp_path, ["/containerLogs/a/b/c"]))["/containerLogs/a/b/c"][0] == 404


async def test_its_configuration_is_told(tmp_path: Path) -> None:
    status, body = (await answers(tmp_path, ["/configz"], max_pods=7))["/configz"]
    told = json.loads(body)["kubeletconfig"]
    assert status == 200
    assert (told["kind"], told["apiVersion"]) == ("KubeletConfiguration", "kubelet.config.k8s.io/v1beta1")
    assert (told["maxPods"], told["authorization"]["mode"]) == (7, "AlwaysAllow")
    assert told["authentication"]["anonymous"] == {"enabled": True}


async def test_log_files_are_not_served_where_that_is_off(tmp_path: Path) -> None:
    refused = await answers(tmp_path, ["/logs/", "/logs/x"], enable_system_log_handler=False)
    assert set(refused.values()) == {(405, b"logs endpoint is disabled.\n")}


def asks(path: str, method: str = "GET") -> Request:
    return Request(method, path, "", {}, b"", cast(Any, None))


async def content(answer: Answer) -> bytes:
    """All of it."""
    if isinstance(answer, Response):
        assert isinstance(answer.body, bytes)
        return answer.body
    assert isinstance(answer, StreamingResponse)
    body = Collected()
    await answer.produce(cast(Any, body))
    return b"".join(body.pieces)


class Collected:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.pieces.append(data)

    async def drain(self) -> None:
        return None


async def test_log_files_are_served_as_by_gos_file_server(tmp_path: Path) -> None:
    (tmp_path / "pods").mkdir()
    (tmp_path / "sys<log").write_text("line\n" * 40_000)
    listing = await log_file(asks("/logs/"), tmp_path)
    assert (await content(listing)).decode().splitlines()[2:] == [
        "<pre>",
        '<a href="pods/">pods/</a>',
        '<a href="sys%3Clog">sys&lt;log</a>',
        "</pre>",
    ]
    assert await content(await log_file(asks("/logs/sys<log"), tmp_path)) == b"line\n" * 40_000
    moved = await log_file(asks("/logs/pods"), tmp_path)
    assert (moved.status, dict(moved.headers)) == (301, {"Location": "pods/"})  # type: ignore[union-attr]
    for path, status in (("/logs/none", 404), ("/logs/../x", 400), ("/logs/a\0", 400)):
        assert (await log_file(asks(path), tmp_path)).status == status, path  # type: ignore[union-attr]
    assert (await log_file(asks("/logs/", "POST"), tmp_path)).status == 405  # type: ignore[union-attr]
