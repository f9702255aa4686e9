"""What pods ask of a node that runs them as processes: what is refused, and what begins anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from _clusters import eventually

from hyperkube_machinery.builtin import EVENTS, PODS, SERVICE_ACCOUNTS

pytestmark = pytest.mark.anyio

NODE = "node-1"
HOST = "hk.local/host"
Tree = dict[str, Any]


@pytest.fixture
async def kubelet(cluster: Any, tmp_path: Path) -> AsyncIterator[Any]:
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await cluster.client.create(SERVICE_ACCOUNTS, account, "default")
    flags = (f"--hostname-override={NODE}", f"--root-dir={tmp_path / 'kubelet'}", "--port=0", "--healthz-port=0")
    yield await cluster.start("kubelet", *flags, "--orphan-grace-period=10s")
    await cluster.client.delete_collection(PODS, "default")

    async def gone() -> bool:
        return not (await cluster.client.list(PODS, "default")).items

    await eventually(gone)


STAYS = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"]


def container(name: str = "main", **more: Any) -> Tree:
    return {"name": name, "image": HOST, "command": STAYS, **more}


async def create(cluster: Any, name: str, *containers: Tree, **spec: Any) -> None:
    given = {"containers": list(containers) or [container()], "nodeName": NODE, "terminationGracePeriodSeconds": 1}
    await cluster.client.create(PODS, {"metadata": {"name": name}, "spec": {**given, **spec}}, "default")


async def rejected(cluster: Any, name: str) -> tuple[str, str]:
    async def failed() -> tuple[str, str] | None:
        status = (await cluster.client.get(PODS, name, "default")).get("status") or {}
        return (status["reason"], status["message"]) if status.get("phase") == "Failed" else None

    found: tuple[str, str] = await eventually(failed)
    return found


async def told(cluster: Any, name: str, reason: str) -> str:
    async def heard() -> str:
        events = (await cluster.client.list(EVENTS, "default")).items
        found = [one for one in events if one["involvedObject"]["name"] == name and one["reason"] == reason]
        return str(found[0]["message"]) if found else ""

    found: str = await eventually(heard)
    return found


async def test_what_a_node_does_not_do_is_refused(cluster: Any, kubelet: Any) -> None:
    unsafe = {"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}
    await create(cluster, "sysctl", securityContext=unsafe)
    reason, message = await rejected(cluster, "sysctl")
    assert reason == "SysctlForbidden"
    assert message == 'Pod was rejected: forbidden sysctl: "net.core.somaxconn" not allowlisted'
    await create(cluster, "long", subdomain="a" * 60, setHostnameAsFQDN=True)
    assert "is too long (64 characters is the max" in await told(cluster, "long", "FailedCreatePodSandBox")
    unset: Tree = {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(NOTHING)"}]}
    volumes = [{"name": "v", "emptyDir": {}}]
    await create(cluster, "mount", container(**unset), volumes=volumes)
    assert await told(cluster, "mount", "Failed") == "Error: missing value for NOTHING"


async def test_an_exit_begins_the_whole_pod_anew(cluster: Any, kubelet: Any) -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    mounts = [{"name": "v", "mountPath": "/tmp"}]
    first = {"command": ["sh", "-c", "echo x >> /tmp/x; [ $(wc -l < /tmp/x) -gt 1 ] || touch /tmp/once"]}
    ends = "[ -e /tmp/once ] && rm /tmp/once && exit 88; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    main = container(command=["sh", "-c", ends], volumeMounts=mounts, restartPolicy="Never", restartPolicyRules=[rule])
    await create(
        cluster,
        "anew",
        main,
        container("other"),
        initContainers=[{**container("first", volumeMounts=mounts), **first}],
        volumes=[{"name": "v", "emptyDir": {}}],
        restartPolicy="Never",
    )

    async def begun_anew() -> bool:
        status = (await cluster.client.get(PODS, "anew", "default")).get("status") or {}
        shown = status.get("containerStatuses") or ()
        return len(shown) == 2 and all(one["restartCount"] == 1 and one.get("ready") for one in shown)

    await eventually(begun_anew)
