"""What the proxy shows of itself, and how it refuses to start."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import _podnet
import pytest
from _clusters import Cluster, Process, eventually
from _podnet import PodNet, pod_net

from hyperkube_machinery.builtin import NODES
from hyperkube_machinery.testing.wire import Received, Wire

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(_podnet.unavailable()), reason=f"no namespaces here: {_podnet.unavailable()}"),
]

NODE = "node-1"


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[PodNet]:
    async with pod_net(tmp_path / "net", pods=0) as net:
        yield net


def flags(net: PodNet) -> list[str]:
    return [
        f"--pod-network={net.path}",
        f"--hostname-override={NODE}",
        "--healthz-bind-address=127.0.0.1:0",
        "--metrics-bind-address=127.0.0.1:0",
    ]


@pytest.fixture
async def proxy(processes: Cluster, net: PodNet) -> Process:
    return await processes.start_process("proxy", *flags(net))


def port(proxy: Process, what: str) -> int:
    found = re.search(rf"serving {what} on http://127\.0\.0\.1:(\d+)", proxy.log)
    assert found is not None
    return int(found[1])


async def get(number: int, path: str) -> Received:
    async with Wire.connect(number) as wire:
        return await wire.ask("GET", path)


async def test_health_follows_the_node(processes: Cluster, proxy: Process) -> None:
    number = port(proxy, "healthz")
    assert (await get(number, "/livez")).status == 200
    missing = await get(number, "/healthz")
    assert (missing.status, json.loads(missing.body)["nodeEligible"]) == (503, False), "the node isn't known"
    await processes.client.create(NODES, {"metadata": {"name": NODE}})

    async def eligible() -> bool:
        return (await get(number, "/healthz")).status == 200

    await eventually(eligible)
    taint = {"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}}
    await processes.client.patch(NODES, NODE, taint)

    async def about_to_go() -> bool:
        return (await get(number, "/healthz")).status == 503

    await eventually(about_to_go)
    assert (await get(number, "/livez")).status == 200
    assert (await get(number, "/")).status == 404


async def test_it_tells_its_mode_its_settings_and_what_it_counts(proxy: Process) -> None:
    number = port(proxy, "metrics")
    assert (await get(number, "/proxyMode")).body == b"nftables"
    assert (await get(number, "/healthz")).body == b"ok"
    settings = json.loads((await get(number, "/configz")).body)["kubeproxy.config.k8s.io"]
    assert (settings["hostnameOverride"], settings["mode"]) == (NODE, "auto")
    metrics = (await get(number, "/metrics")).body.decode()
    for name in (
        'kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1',
        'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"} 0',
        "kubeproxy_sync_proxy_rules_service_changes_total 1",
        "kubeproxy_sync_proxy_rules_service_changes_pending 0",
        "hk_proxy_relayed_connections 0",
        "hk_event_loop_lag_seconds_count",
        "process_open_fds",
    ):
        assert name in metrics


async def run(*args: str) -> tuple[int, str]:
    """Exit status and complaints of a proxy that can't start."""
    argv = [sys.executable, "-m", "hyperkube_core", "proxy", *args]
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    try:
        _, complaint = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, complaint.decode()


async def test_a_port_that_is_taken_ends_it_only_where_that_was_asked_for(processes: Cluster, net: PodNet) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"--healthz-bind-address=127.0.0.1:{taken.getsockname()[1]}"
        config = f"--kubeconfig={processes.kubeconfig}"
        status, complaint = await run(config, *flags(net), address, "--bind-address-hard-fail")
        assert status == 2
        assert "flag --healthz-bind-address" in complaint
        proxy = await processes.start_process("proxy", *flags(net), address)
        assert "going on without" in proxy.log


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("--kubeconfig=/nowhere/kubeconfig", "--kubeconfig"),
        ("--relay-status-file=/nowhere/relays.json", "there is no folder /nowhere"),
        ("--proxy-mode=kernelspace", "the mode kernelspace is refused"),
    ],
)
async def test_what_keeps_it_from_starting_is_told_by_its_flag(
    processes: Cluster, net: PodNet, flag: str, complaint: str
) -> None:
    status, told = await run(f"--kubeconfig={processes.kubeconfig}", *flags(net), flag)
    assert status == 2
    assert complaint in told
    assert "Traceback" not in told


async def test_rules_that_cannot_be_had_end_a_proxy_that_was_to_use_them_and_no_other(
    processes: Cluster, net: PodNet, tmp_path: Path
) -> None:
    description = json.dumps({"mode": "loopback", "gateway": "", "pod_cidr": "", "bridge": ""})
    async with _podnet.agent(tmp_path / "loopback.sock", description) as path:
        there = [*flags(net), f"--pod-network={path}"]
        status, told = await run(f"--kubeconfig={processes.kubeconfig}", *there, "--proxy-mode=nftables")
        assert status == 2
        assert "nftables cannot be used" in told
        proxy = await processes.start_process("proxy", *there)
        assert (await get(port(proxy, "metrics"), "/proxyMode")).body == b"userspace"
