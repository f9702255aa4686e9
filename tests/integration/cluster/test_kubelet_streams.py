"""What kubectl does with running pods, through the API server, in each version's protocol."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import _tools
import pytest
from _clusters import Cluster, Mode, open_cluster

from hyperkube_machinery import tls
from hyperkube_machinery.builtin import PODS, SERVICE_ACCOUNTS
from hyperkube_machinery.clock import SystemClock

pytestmark = pytest.mark.anyio

NODE = "node-1"
SECONDS = 60.0
SERVER = """
trap 'exit 0' TERM
mkdir -p /tmp/$$ && cd /tmp/$$ && echo served > index.html
$BUSYBOX httpd -p 127.0.0.1:8080 -f &
echo up
wait
"""


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A folder with what the API server shows to kubelets, and what they know it by."""
    now = SystemClock().now()
    folder = tmp_path / "pki"
    folder.mkdir()
    ca = tls.create_ca("kubelets", now=now)
    tls.save(ca, folder / "ca.crt", folder / "ca.key")
    client = tls.issue_client_certificate(ca, "kube-apiserver-kubelet-client", ["system:masters"], now=now)
    tls.save(client, folder / "client.crt", folder / "client.key")
    return folder


@pytest.fixture(params=["process", "in-process"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path, authority: Path) -> AsyncIterator[Cluster]:
    """An API server that may speak to kubelets, and finds them by their address."""
    flags = (
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={authority / 'client.crt'}",
        f"--kubelet-client-key={authority / 'client.key'}",
    )
    async with open_cluster(cast(Mode, request.param), tmp_path, lambda: _tools.kubectl()[0], *flags) as cluster:
        yield cluster


@pytest.fixture
async def pod(cluster: Cluster, tmp_path: Path, authority: Path) -> AsyncIterator[str]:
    """A pod that serves "served" on port 8080 of its own loopback, and has a shell."""
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await cluster.client.create(SERVICE_ACCOUNTS, account, "default")
    folder = tmp_path / "kubelet"
    flags = (f"--root-dir={folder}", "--port=0", "--healthz-port=0", "--orphan-grace-period=10s")
    await cluster.start("kubelet", f"--hostname-override={NODE}", f"--client-ca-file={authority / 'ca.crt'}", *flags)
    script = SERVER.replace("$BUSYBOX", os.fspath(_tools.busybox()))
    container = {"name": "main", "image": "hk.local/host", "command": ["/bin/sh", "-c", script]}
    spec = {"nodeName": NODE, "terminationGracePeriodSeconds": 1, "containers": [container]}
    await cluster.client.create(PODS, {"metadata": {"name": "web"}, "spec": spec}, "default")
    await cluster.kubectl("wait", "--for=condition=Ready", "pod/web", f"--timeout={SECONDS:g}s")
    yield "web"
    await cluster.kubectl("delete", "pod", "--all", "--wait")


def kubectls() -> list[Path]:
    """The newest, the oldest and one from between: WebSockets by default came with 1.31."""
    found = _tools.kubectl()
    return list(dict.fromkeys((found[0], found[len(found) // 2], found[-1])))


class Kubectl:
    """One version, as the administrator."""

    def __init__(self, cluster: Cluster, program: Path) -> None:
        self._base = (str(program), f"--kubeconfig={cluster.kubeconfig}")
        self._environment = {"HOME": str(cluster.folder), "PATH": "/usr/bin:/bin"}

    @asynccontextmanager
    async def started(self, *args: str, **streams: Any) -> AsyncIterator[asyncio.subprocess.Process]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE) | streams
        process = await asyncio.create_subprocess_exec(*self._base, *args, env=self._environment, **pipes)
        try:
            async with asyncio.timeout(SECONDS):
                yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def run(self, *args: str, stdin: bytes = b"") -> tuple[int | None, bytes, str]:
        """Exit code, output and complaints."""
        async with self.started(*args) as process:
            output, complaint = await process.communicate(stdin)
        return process.returncode, output, complaint.decode()


async def answer(port: int) -> bytes:
    """What a server at a port of loopback answers; empty where it says nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        with suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.close()


async def local_port(forwarding: asyncio.subprocess.Process) -> int:
    """Where kubectl listens."""
    assert forwarding.stdout is not None
    assert forwarding.stderr is not None
    line = await forwarding.stdout.readline()
    found = re.search(rb"127\.0\.0\.1:(\d+) ->", line)
    assert found, await forwarding.stderr.read()
    return int(found[1])


async def test_ports_are_forwarded(cluster: Cluster, pod: str) -> None:
    for program in kubectls():
        kubectl = Kubectl(cluster, program)
        async with kubectl.started("port-forward", f"pod/{pod}", ":8080", "--address=127.0.0.1") as forwarding:
            port = await local_port(forwarding)
            for _ in range(3):
                answers = await asyncio.gather(*(answer(port) for _ in range(5)))
                assert {body.rpartition(b"\r\n")[2] for body in answers} == {b"served\n"}, program


async def test_a_port_on_which_nobody_listens_is_told(cluster: Cluster, pod: str) -> None:
    for program in kubectls():
        kubectl = Kubectl(cluster, program)
        async with kubectl.started("port-forward", f"pod/{pod}", ":9", "--address=127.0.0.1") as forwarding:
            assert await answer(await local_port(forwarding)) == b""
            assert forwarding.stderr is not None
            told = await forwarding.stderr.readuntil(b"connection refused")
            assert b"error forwarding port 9 to pod web" in told, program
