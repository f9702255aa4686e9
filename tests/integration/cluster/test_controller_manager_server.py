"""The controller manager as a server: who leads, who each controller is, what it shows, and what a kill costs."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from _clusters import Cluster, Process, eventually
from _watching import gone, until_object

from hyperkube_machinery import kubeconfig, tls
from hyperkube_machinery.builtin import (
    CONFIG_MAPS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from hyperkube_machinery.client import connect
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.timestamps import format_seconds

pytestmark = pytest.mark.anyio

LEASE = "kube-controller-manager"
QUICK = (
    "--leader-elect-lease-duration=2s",
    "--leader-elect-renew-deadline=1500ms",
    "--leader-elect-retry-period=500ms",
)
PRODUCTION = ("--secure-port=0", "--use-service-account-credentials")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def holder(lease: dict[str, Any]) -> str:
    return lease["spec"].get("holderIdentity") or ""


async def test_one_of_two_works_and_the_other_takes_over(cluster: Cluster) -> None:
    first = await cluster.start("controller-manager", *PRODUCTION, *QUICK)
    lease = await until_object(cluster.client, LEASES, LEASE, holder, "kube-system")
    leader = holder(lease)
    await cluster.start("controller-manager", *PRODUCTION, *QUICK)  # ready, though it only stands by
    assert holder(await cluster.client.get(LEASES, LEASE, "kube-system")) == leader
    await first.stop()
    await until_object(cluster.client, LEASES, LEASE, lambda lease: holder(lease) not in ("", leader), "kube-system")
    await cluster.client.create(NAMESPACES, {"metadata": {"name": "later"}})
    await until_object(cluster.client, SERVICE_ACCOUNTS, "default", lambda _: True, "later")


async def test_a_leader_that_is_killed_is_followed_once_its_lease_has_run_out(processes: Cluster) -> None:
    first = await processes.start_process("controller-manager", *PRODUCTION, *QUICK)
    leader = holder(await until_object(processes.client, LEASES, LEASE, holder, "kube-system"))
    await first.kill()
    await processes.start_process("controller-manager", *PRODUCTION, *QUICK)
    await until_object(processes.client, LEASES, LEASE, lambda lease: holder(lease) not in ("", leader), "kube-system")
    await processes.client.create(NAMESPACES, {"metadata": {"name": "later"}})
    await until_object(processes.client, SERVICE_ACCOUNTS, "default", lambda _: True, "later")


async def test_controllers_have_accounts_of_their_own(cluster: Cluster) -> None:
    await cluster.start("controller-manager", *PRODUCTION)
    await cluster.kubectl("create", "deployment", "web", "--image=x", "--replicas=1")
    await cluster.kubectl("wait", "--for=create", "pod", "--selector=app=web", "--timeout=30s")
    accounts = {one["metadata"]["name"] for one in (await cluster.client.list(SERVICE_ACCOUNTS, "kube-system")).items}
    assert {"deployment-controller", "replicaset-controller", "service-account-controller"} <= accounts
    assert "job-controller" not in accounts  # made when it is needed


async def test_a_controller_may_do_no_more_than_its_role(cluster: Cluster) -> None:
    """Without accounts of their own, controllers have the few rights of the server."""
    await cluster.start("controller-manager", "--secure-port=0", "--controllers=serviceaccount,root-ca-cert-publisher")
    await cluster.client.create(NAMESPACES, {"metadata": {"name": "poor"}})
    await until_object(cluster.client, SERVICE_ACCOUNTS, "default", lambda _: True, "poor")
    assert (await cluster.client.list(CONFIG_MAPS, "poor")).items == []


async def ask(port: int, path: str, context: ssl.SSLContext) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.read()).decode()
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split(" ", 2)[1]), body


async def test_it_shows_how_it_is_to_whom_it_may(cluster: Cluster) -> None:
    port = free_port()
    await cluster.start("controller-manager", f"--secure-port={port}", "--use-service-account-credentials")
    nobody = ssl.create_default_context()
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    status, body = await ask(port, "/healthz?verbose", nobody)
    assert status == 200
    for name in ("namespace-controller", "garbage-collector-controller", "node-lifecycle-controller"):
        assert f"[+]{name} ok" in body
    assert (await ask(port, "/metrics", nobody))[0] == 403
    token = (await cluster.kubectl("create", "token", "default")).strip()
    allowed = kubeconfig.Access(server=f"https://127.0.0.1:{port}", insecure=True, token=token)
    await cluster.kubectl("create", "clusterrole", "seeing", "--verb=get", "--non-resource-url=/metrics,/configz")
    await cluster.kubectl(
        "create", "clusterrolebinding", "seeing", "--clusterrole=seeing", "--serviceaccount=default:default"
    )
    async with connect(allowed, clock=SystemClock(), user_agent="test") as client:
        metrics = (await client.raw("GET", "/metrics")).body.decode()
        configuration = json.loads((await client.raw("GET", "/configz")).body)
    assert 'workqueue_adds_total{name="namespace"}' in metrics
    assert configuration["kubecontrollermanager.config.k8s.io"]["use-service-account-credentials"] is True


async def test_flags_say_where_the_server_is_and_what_it_is_believed_by(cluster: Cluster, tmp_path: Path) -> None:
    admin = kubeconfig.read(cluster.kubeconfig)
    authorities = tls.create_ca("another", now=SystemClock().now()).certificate_pem
    (tmp_path / "other.crt").write_bytes(authorities)
    mistaken = tmp_path / "mistaken.kubeconfig"
    kubeconfig.write(mistaken, replace(admin, server="https://127.0.0.1:1"), cluster="test", user="admin")
    chosen = "--controllers=root-ca-cert-publisher"
    where = (f"--master={admin.server}", f"--kubeconfig={mistaken}")
    await cluster.start(
        "controller-manager", "--secure-port=0", f"--root-ca-file={tmp_path / 'other.crt'}", chosen, *where
    )
    found = await until_object(cluster.client, CONFIG_MAPS, "kube-root-ca.crt", lambda _: True, "default")
    assert found["data"] == {"ca.crt": authorities.decode()}
    assert (await cluster.client.list(SERVICE_ACCOUNTS, "default")).items == []  # nobody else was asked for


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--kubeconfig=/nowhere",), "flag --kubeconfig: /nowhere: cannot be read"),
        (("--root-ca-file=/dev/null",), "flag --root-ca-file: /dev/null: holds no certificate"),
        (("--allocate-node-cidrs", "--cluster-cidr=10.0.0.0/30"), "flag --cluster-cidr: .* larger than the cluster's"),
    ],
)
async def test_what_keeps_it_from_working_is_told_by_the_flag(
    processes: Cluster, flags: tuple[str, ...], why: str
) -> None:
    with pytest.raises(AssertionError, match=why):
        await processes.start_process("controller-manager", "--secure-port=0", "--leader-elect=false", *flags)


async def test_ranges_are_given_to_nodes(cluster: Cluster) -> None:
    await cluster.start("controller-manager", *PRODUCTION, "--allocate-node-cidrs", "--cluster-cidr=10.244.0.0/16")
    for number in range(3):
        await cluster.client.create(NODES, {"metadata": {"name": f"n{number}"}})
    given = {
        (await until_object(cluster.client, NODES, f"n{number}", lambda node: node["spec"].get("podCIDR")))["spec"][
            "podCIDR"
        ]
        for number in range(3)
    }
    assert given == {f"10.244.{number}.0/24" for number in range(3)}


async def test_a_node_that_is_silent_loses_its_pods(cluster: Cluster) -> None:
    """With the real registry's rules: statuses, taints and conditions are written as validation wants them."""
    quick = ("--node-monitor-period=500ms", "--node-monitor-grace-period=2s", "--node-eviction-rate=10")
    client = cluster.client
    await cluster.start("controller-manager", *PRODUCTION, *quick)

    def speak() -> dict[str, Any]:
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": format_seconds(SystemClock().now())}
        return {"status": {"conditions": [ready]}}

    for name in ("dead", "well"):
        await client.create(NODES, {"metadata": {"name": name}})
        await client.patch(NODES, name, speak(), kind="strategic", subresource="status")
    await until_object(client, SERVICE_ACCOUNTS, "default", lambda _: True, "default")
    key = "node.kubernetes.io/unreachable"
    stays = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    for name, tolerations in {"leaves": [{**stays, "tolerationSeconds": 1}], "stays": [stays]}.items():
        spec = {"nodeName": "dead", "tolerations": tolerations, "containers": [{"name": "c", "image": "x"}]}
        await client.create(PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
        status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        await client.patch(PODS, name, status, "default", kind="strategic", subresource="status")

    async def keep_well() -> None:
        while True:
            await client.patch(NODES, "well", speak(), kind="strategic", subresource="status")
            await asyncio.sleep(0.5)

    speaking = asyncio.create_task(keep_well())
    try:
        await until_object(client, PODS, "leaves", lambda pod: pod["metadata"].get("deletionTimestamp"), "default")
    finally:
        speaking.cancel()
    dead = await client.get(NODES, "dead")
    assert {(one["key"], one["effect"]) for one in dead["spec"]["taints"]} == {(key, "NoSchedule"), (key, "NoExecute")}
    leaving, staying = [await client.get(PODS, name, "default") for name in ("leaves", "stays")]
    told = {one["type"]: one for one in leaving["status"]["conditions"]}
    assert told["DisruptionTarget"]["reason"] == "DeletionByTaintManager"
    assert told["Ready"]["status"] == "False"
    assert "deletionTimestamp" not in staying["metadata"]

    async def heard() -> list[dict[str, Any]]:
        return list((await client.list(EVENTS, "default", fields="reason=TaintManagerEviction")).items)

    assert await eventually(heard)


async def test_kills_neither_lose_nor_double_anything(processes: Cluster) -> None:
    """Killed again and again while owners go, the garbage collector deletes what it must and nothing else."""
    client, chance = processes.client, random.Random(36)
    flags = (*PRODUCTION, "--leader-elect=false", "--kube-api-qps=-1")
    manager: Process = await processes.start_process("controller-manager", *flags)
    doomed: list[str] = []
    kept: list[str] = []
    for number in range(12):
        propagation = ("Background", "Foreground", "Orphan")[number % 3]
        owner = await client.create(CONFIG_MAPS, {"metadata": {"name": f"owner-{number}", "namespace": "default"}})
        ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": f"owner-{number}", "uid": owner["metadata"]["uid"]}
        for child in range(4):
            name = f"child-{number}-{child}"
            about = {"name": name, "namespace": "default", "ownerReferences": [{**ref, "blockOwnerDeletion": True}]}
            await client.create(SECRETS, {"metadata": about})
            (kept if propagation == "Orphan" else doomed).append(name)
        await client.delete(CONFIG_MAPS, f"owner-{number}", "default", propagation=propagation)
        if number % 2:
            await asyncio.sleep(chance.uniform(0, 0.8))  # a moment that no test has thought of
            await manager.kill()
            manager = await processes.start_process("controller-manager", *flags)
    for number in range(12):
        await gone(client, CONFIG_MAPS, f"owner-{number}", "default")
    for name in doomed:
        await gone(client, SECRETS, name, "default")
    for name in kept:
        await until_object(client, SECRETS, name, lambda obj: not obj["metadata"].get("ownerReferences"), "default")


async def test_a_namespace_goes_however_often_its_emptying_is_killed(processes: Cluster) -> None:
    client, chance = processes.client, random.Random(5)
    flags = (*PRODUCTION, "--leader-elect=false", "--kube-api-qps=-1")
    manager: Process = await processes.start_process("controller-manager", *flags)
    await client.create(NAMESPACES, {"metadata": {"name": "large"}})
    for number in range(40):
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"m{number}", "namespace": "large"}})
    await client.delete(NAMESPACES, "large")
    await asyncio.sleep(5)  # as long as a deleted namespace is let rest
    for _ in range(3):
        await asyncio.sleep(chance.uniform(0, 0.3))
        await manager.kill()
        manager = await processes.start_process("controller-manager", *flags)
    await gone(client, NAMESPACES, "large")
