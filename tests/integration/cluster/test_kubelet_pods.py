"""A kubelet beside a real API server: pods run, get ready, are restarted and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hyperkube_machinery.builtin import PODS, SERVICE_ACCOUNTS
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio

NODE = "node-1"
HOST = "hk.local/host"
PATIENCE_SECONDS = 60.0


@pytest.fixture(params=["hollow", "process"])
async def kubelet(request: pytest.FixtureRequest, cluster: Any, tmp_path: Any) -> AsyncIterator[Any]:
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await cluster.client.create(SERVICE_ACCOUNTS, account, "default")
    flags = [f"--hostname-override={NODE}", f"--root-dir={tmp_path / 'kubelet'}", "--port=0", "--healthz-port=0"]
    yield await cluster.start("kubelet", *flags, f"--container-runtime={request.param}")


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": NODE, "containers": list(containers), **spec},
    }


def container(script: str = "exec sleep 1000", name: str = "main", **fields: Any) -> dict[str, Any]:
    command = ["/bin/sh", "-c", script]
    return {"name": name, "image": HOST, "imagePullPolicy": "IfNotPresent", "command": command, **fields}


async def until_pod(cluster: Any, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The pod once it is as it should be."""
    seen: dict[str, Any] = {}
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for event in cluster.client.watch(PODS, "default", fields=f"metadata.name={name}", initial_events=True):
                if event.type in ("ADDED", "MODIFIED"):
                    seen = event.object
                    if holds(seen):
                        return seen
    except TimeoutError:
        pass
    pytest.fail(f"pod {name} stayed {seen.get('status')}")


async def until_gone(cluster: Any, name: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await cluster.client.get(PODS, name, "default")
            except APIError as exc:
                assert exc.code == 404
                return
            await asyncio.sleep(0.05)


def is_ready(found: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in found["status"].get("conditions") or ())


async def test_a_pod_gets_ready_and_ends(cluster: Any, kubelet: Any) -> None:
    await cluster.client.create(PODS, pod("web", container()), "default")
    found = await until_pod(cluster, "web", is_ready)
    assert found["status"]["phase"] == "Running"
    assert found["status"]["podIP"]
    await cluster.client.delete(PODS, "web", "default", grace_seconds=1)
    await until_gone(cluster, "web")
