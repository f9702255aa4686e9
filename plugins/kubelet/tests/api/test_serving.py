"""Where the kubelet's API is served."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from hyperkube_core import SettingsError
from hyperkube_kubelet.api.serving import api_served
from hyperkube_kubelet.options import Options
from hyperkube_kubelet.runtime.hollow import HollowRuntime
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.exchange import Peer, exchange
from hyperkube_machinery.serving.messages import Answer, Request
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


async def answers(root: Path, paths: list[str], **changes: int) -> dict[str, tuple[int, bytes]]:
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
            found[path] = answer.status, await answer.body(1000)
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
