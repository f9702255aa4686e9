"""What pods ask for their containers, on a real containerd: users, privileges, names, files, and their life."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import _tools
import pytest
from _clusters import eventually
from _containerd import BUSYBOX, Containerd
from _nodes import RealNode, real_node

from hyperkube_machinery.builtin import EVENTS, PODS

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]
WAIT = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]


@pytest.fixture(scope="module")
async def node(containerd: Containerd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealNode]:
    flags = ("--cluster-dns=10.0.0.10", "--cluster-domain=cluster.local")
    async with real_node(containerd, tmp_path_factory.mktemp("pods"), lambda: _tools.kubectl()[0], *flags) as node:
        yield node


@pytest.fixture(autouse=True)
async def tidy(node: RealNode) -> AsyncIterator[None]:
    yield
    await node.emptied()


def container(name: str = "main", **more: Any) -> Tree:
    return {"name": name, "image": BUSYBOX, **more}


def talking(script: str, **more: Any) -> Tree:
    """A container whose last words are what `script` prints."""
    return container(command=["sh", "-c", f"( {script} ) > /dev/termination-log 2>&1"], **more)


def find(words: str) -> str:
    """A script that prints the ids of processes whose command line is `words`."""
    line = "$(tr '\\0' ' ' < $p/cmdline)"
    return f"for p in /proc/[0-9]*; do [ \"{line}\" = '{words} ' ] && basename $p; done 2>/dev/null"


def log_folder(node: RealNode) -> Path:
    """Where containers of several pods write."""
    return node.folder.with_name("log")


async def said(node: RealNode, name: str, script: str, of_pod: Tree | None = None, **of_container: Any) -> str:
    """What a container of a new pod prints."""
    spec = {"containers": [talking(script, **of_container)], "restartPolicy": "Never", **(of_pod or {})}
    await node.create(name, spec)
    pod = await node.pod(name, lambda pod: pod["status"].get("phase") in ("Succeeded", "Failed"))
    state: Tree = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return str(state.get("message", "")).strip()


async def messages(node: RealNode, name: str, reason: str, holds: Callable[[str], object] = bool) -> list[str]:
    """What events of that reason say of a pod, once one of them is such."""

    async def heard() -> list[str]:
        events = (await node.client.list(EVENTS, "default")).items
        found = [one["message"] for one in events if one["involvedObject"]["name"] == name and one["reason"] == reason]
        return found if any(map(holds, found)) else []

    found: list[str] = await eventually(heard)
    return found


async def waits(node: RealNode, name: str, reason: str) -> str:
    """The message of a container that waits for that reason."""

    def state(pod: Tree) -> Tree:
        shown = pod["status"].get("containerStatuses") or [{}]
        found: Tree = (shown[0].get("state") or {}).get("waiting") or {}
        return found

    pod = await node.pod(name, lambda pod: state(pod).get("reason") == reason)
    return str(state(pod).get("message", ""))


async def test_users_and_groups(node: RealNode) -> None:
    context = {"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000, "supplementalGroups": [4000]}
    assert (
        await said(node, "users", "id -u; id -g; id -G", {"securityContext": context}) == "1000\n2000\n2000 3000 4000"
    )
    own = {"runAsUser": 1001}
    found = await said(node, "own", "id -u; id -g", {"securityContext": context}, securityContext=own)
    assert found == "1001\n2000"


async def test_an_images_user_by_name(node: RealNode) -> None:
    node.containerd.load("hk.test/nobody:1", user="nobody")
    assert await said(node, "named", "id -u", image="hk.test/nobody:1") == "65534"
    await node.create(
        "refused", {"containers": [container(image="hk.test/nobody:1", securityContext={"runAsNonRoot": True})]}
    )
    message = await waits(node, "refused", "CreateContainerConfigError")
    assert message.startswith(
        "container has runAsNonRoot and image has non-numeric user (nobody), cannot verify user is non-root (pod:"
    )


async def test_a_container_that_would_be_root_is_not_made(node: RealNode) -> None:
    await node.create("root", {"containers": [container(securityContext={"runAsNonRoot": True})]})
    message = await waits(node, "root", "CreateContainerConfigError")
    assert message.startswith('container has runAsNonRoot and image will run as root (pod: "root_default(')
    assert await messages(node, "root", "Failed") == [f"Error: {message}"]


async def test_privileges(node: RealNode) -> None:
    script = "grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; touch /x || true"
    drop = {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, "allowPrivilegeEscalation": False}
    profile = {"readOnlyRootFilesystem": True, "seccompProfile": {"type": "RuntimeDefault"}}
    found = await said(node, "confined", script, securityContext={**drop, **profile})
    assert "CapEff:\t0000000000000400" in found
    assert "NoNewPrivs:\t1" in found
    assert "Seccomp:\t2" in found
    assert "Read-only file system" in found
    plain = await said(node, "plain", script)
    assert "NoNewPrivs:\t0" in plain
    assert "Seccomp:\t0" in plain
    assert "Read-only" not in plain


async def test_proc_is_masked(node: RealNode) -> None:
    found = await said(node, "masked", "wc -c < /proc/timer_list; echo x > /proc/sys/kernel/domainname")
    assert found.startswith("0")
    assert "Read-only file system" in found


async def test_names_and_resolvers(node: RealNode) -> None:
    of_pod = {
        "hostname": "www",
        "subdomain": "shop",
        "setHostnameAsFQDN": True,
        "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["db", "db.example"]}],
        "dnsPolicy": "None",
        "dnsConfig": {
            "nameservers": ["192.0.2.53"],
            "searches": ["a.example", "b.example"],
            "options": [{"name": "ndots", "value": "3"}],
        },
    }
    found = await said(node, "names", "hostname; cat /etc/hosts /etc/resolv.conf", of_pod)
    lines = found.splitlines()
    assert lines[0] == "www.shop.default.svc.cluster.local"
    assert lines[1] == "# Kubernetes-managed hosts file."
    assert any(line.endswith("\twww.shop.default.svc.cluster.local\twww") for line in lines)
    assert "192.0.2.7\tdb\tdb.example" in lines
    assert {"search a.example b.example", "nameserver 192.0.2.53", "options ndots:3"} <= set(lines)


async def test_the_nodes_own_namespaces(node: RealNode) -> None:
    script = "for n in net ipc pid; do readlink /proc/self/ns/$n; done; head -1 /etc/hosts"
    apart = (await said(node, "apart", script)).splitlines()
    shared = await said(node, "shared", script, {"hostNetwork": True, "hostIPC": True, "hostPID": True})
    own = [os.readlink(f"/proc/self/ns/{name}") for name in ("net", "ipc", "pid")]
    lines = shared.splitlines()
    assert lines[:3] == own
    assert lines[3] == "# Kubernetes-managed hosts file (host network)."
    assert not set(apart[:3]) & set(own)


async def test_processes_are_shared_where_the_pod_says_so(node: RealNode) -> None:
    other = container("other", command=["sh", "-c", "exec sleep 4321"])
    script = f"for i in 1 2 3 4 5 6 7 8 9 10; do {find('sleep 4321')} | grep . && exit; sleep 0.3; done"
    spec = {"containers": [talking(script), other], "shareProcessNamespace": True}
    await node.create("shared", {**spec, "restartPolicy": "Never"})

    def ended(pod: Tree) -> Tree | None:
        shown = pod["status"].get("containerStatuses") or ()
        return next((one["state"].get("terminated") for one in shown if one["name"] == "main"), None)

    pod = await node.pod("shared", ended)
    assert int(ended(pod)["message"]) > 1  # type: ignore[index]


async def test_sysctls(node: RealNode) -> None:
    def sets(name: str, value: str) -> Tree:
        return {"securityContext": {"sysctls": [{"name": name, "value": value}]}}

    read = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert await said(node, "safe", read, sets("net.ipv4.ip_unprivileged_port_start", "80")) == "80"
    await node.create("unsafe", {"containers": [container()], **sets("net.core.somaxconn", "512")})
    pod = await node.pod("unsafe", lambda pod: pod["status"].get("phase") == "Failed")
    assert pod["status"]["reason"] == "SysctlForbidden"
    assert pod["status"]["message"] == 'Pod was rejected: forbidden sysctl: "net.core.somaxconn" not allowlisted'


async def test_what_containerd_cant_do_is_told(node: RealNode) -> None:
    await node.create("users", {"containers": [container()], "hostUsers": False})
    [message] = set(await messages(node, "users", "FailedCreatePodSandBox"))
    assert message == (
        "Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not support user namespaces"
    )
    await node.create(
        "profile", {"containers": [container(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}})]}
    )
    pod = await node.pod("profile", lambda pod: pod["status"].get("phase") == "Failed")
    assert pod["status"]["reason"] == "AppArmor"
    assert pod["status"]["message"].endswith("Cannot enforce AppArmor: AppArmor is not enabled on the host")


async def test_volumes_of_many_kinds(node: RealNode) -> None:
    volumes = [
        {"name": "empty", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {
            "name": "told",
            "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]},
        },
    ]
    mounts = [
        {"name": "empty", "mountPath": "/e", "subPathExpr": "of-$(POD)"},
        {"name": "memory", "mountPath": "/m"},
        {"name": "told", "mountPath": "/t", "readOnly": True},
    ]
    env = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    script = "touch /e/x && ls /e; cat /t/name; echo; grep ' /m ' /proc/mounts | cut -d' ' -f3; touch /t/x"
    found = await said(node, "volumes", script, {"volumes": volumes}, volumeMounts=mounts, env=env)
    assert found.splitlines()[:3] == ["x", "volumes", "tmpfs"]
    assert "Read-only file system" in found


async def test_the_group_of_volumes_may_write_in_them(node: RealNode) -> None:
    of_pod = {"securityContext": {"runAsUser": 1000, "fsGroup": 3000}, "volumes": [{"name": "v", "emptyDir": {}}]}
    mounts = [{"name": "v", "mountPath": "/v"}]
    found = await said(node, "group", "touch /v/x; stat -c '%g %A' /v; stat -c %g /v/x", of_pod, volumeMounts=mounts)
    assert found.splitlines() == ["3000 drwxrwsrwx", "3000"]


async def test_init_containers_sidecars_and_their_order(node: RealNode) -> None:
    log = [{"name": "log", "mountPath": "/log"}]

    def noting(name: str, **more: Any) -> Tree:
        script = f"echo +{name} >> /log/x; trap 'echo -{name} >> /log/x; exit 0' TERM; while :; do sleep 0.05; done"
        return container(name, command=["sh", "-c", script], volumeMounts=log, **more)

    first = container("first", command=["sh", "-c", "echo first >> /log/x"], volumeMounts=log)
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    spec = {
        "initContainers": [
            first,
            noting("one", restartPolicy="Always", startupProbe=probe),
            noting("two", restartPolicy="Always"),
        ],
        "containers": [noting("main")],
        "volumes": [{"name": "log", "hostPath": {"path": str(log_folder(node)), "type": "DirectoryOrCreate"}}],
    }
    await node.create("order", spec)
    await node.running("order")
    await node.delete("order")
    assert (log_folder(node) / "x").read_text().split() == ["first", "+one", "+two", "+main", "-main", "-two", "-one"]


async def test_hooks(node: RealNode) -> None:
    where = [{"name": "log", "mountPath": "/log"}]
    lifecycle = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /log/hooks"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /log/hooks"]}},
    }
    spec = {
        "containers": [container(command=WAIT, lifecycle=lifecycle, volumeMounts=where)],
        "volumes": [{"name": "log", "hostPath": {"path": str(log_folder(node)), "type": "DirectoryOrCreate"}}],
    }
    await node.create("hooks", spec)
    await node.running("hooks")
    await node.delete("hooks")
    assert (log_folder(node) / "hooks").read_text().split() == ["started", "stopping"]
    fails = {"postStart": {"exec": {"command": ["sh", "-c", "echo no; exit 3"]}}}
    await node.create("fails", {"containers": [container(command=WAIT, lifecycle=fails)]})
    assert await messages(node, "fails", "FailedPostStartHook") == ["PostStartHook failed"]
    assert "FailedPostStartHook" in await messages(node, "fails", "Killing")
    message = await waits(node, "fails", "PostStartHookError")
    assert message.startswith(
        'Exec lifecycle hook ([sh -c echo no; exit 3]) for Container "main" in Pod "fails_default('
    )


async def test_a_container_that_ignores_term_is_killed_after_its_grace(node: RealNode) -> None:
    deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
    await node.create("deaf", {"containers": [container(command=deaf)], "terminationGracePeriodSeconds": 600})
    await node.running("deaf")
    await node.client.delete(PODS, "deaf", "default")
    await messages(node, "deaf", "Killing")
    await node.delete("deaf", grace_seconds=1)  # less than it was given at first
    assert node.containerd.shims() == {}


async def test_failing_containers_wait_longer_each_time(node: RealNode) -> None:
    await node.create(
        "crash",
        {
            "containers": [
                container(
                    command=["sh", "-c", "echo went wrong; exit 3"], terminationMessagePolicy="FallbackToLogsOnError"
                )
            ]
        },
    )
    message = await waits(node, "crash", "CrashLoopBackOff")
    assert message.startswith("back-off 10s restarting failed container=main pod=crash_default(")
    pod = await node.pod("crash", lambda pod: pod["status"]["containerStatuses"][0].get("lastState"))
    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"], last["message"]) == (3, "Error", "went wrong\n")


async def test_a_program_that_is_not_there(node: RealNode) -> None:
    await node.create("nothing", {"containers": [container(command=["/nothing"])]})
    pod = await node.pod(
        "nothing", lambda pod: "RunContainerError" in str(pod["status"]) or "StartError" in str(pod["status"])
    )
    assert "no such file or directory" in str(pod["status"]["containerStatuses"])


async def test_a_debugging_container_is_among_its_targets_processes(node: RealNode) -> None:
    await node.create("target", {"containers": [container(command=["sh", "-c", "exec sleep 7654"])]})
    await node.running("target")
    script = f"{find('sleep 7654')} > /dev/termination-log"
    debugger = {"name": "debugger", "image": BUSYBOX, "command": ["sh", "-c", script], "targetContainerName": "main"}
    patch = {"spec": {"ephemeralContainers": [debugger]}}
    await node.client.patch(PODS, "target", patch, "default", subresource="ephemeralcontainers")

    def ended(pod: Tree) -> Tree | None:
        shown = pod["status"].get("ephemeralContainerStatuses") or [{}]
        found: Tree | None = (shown[0].get("state") or {}).get("terminated")
        return found

    pod = await node.pod("target", ended)
    assert str(ended(pod)["message"]).strip() == "1"  # type: ignore[index]


async def test_pods_are_found_again(node: RealNode) -> None:
    await node.create("stays", {"containers": [container(command=WAIT)]})
    before = await node.running("stays")
    await node.restart_kubelet(signal.SIGKILL)
    after = await node.running("stays")
    shown = [pod["status"]["containerStatuses"][0] for pod in (before, after)]
    assert shown[0]["containerID"] == shown[1]["containerID"]
    assert shown[1]["restartCount"] == 0


async def test_ports_of_the_node(node: RealNode) -> None:
    serve = ["sh", "-c", "while :; do echo hello | nc -l -p 8080; done"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ports = [{"containerPort": 8080, "hostPort": port}]
    await node.create("ports", {"containers": [container(command=serve, ports=ports)]})
    await node.running("ports")

    def greets() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return connection.recv(10) == b"hello\n"
        return False

    async def is_reached() -> bool:
        return await asyncio.to_thread(greets)

    await eventually(is_reached)
    await node.delete("ports")
    assert not await is_reached()


async def test_another_node_allows_what_it_is_told_to(containerd: Containerd, tmp_path: Path) -> None:
    flags = ("--seccomp-default", "--allowed-unsafe-sysctls=net.core.*")
    async with real_node(containerd, tmp_path, lambda: _tools.kubectl()[0], *flags) as other:
        sysctls = {"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "512"}]}}
        script = "cat /proc/sys/net/core/somaxconn; grep Seccomp: /proc/self/status"
        assert (await said(other, "lax", script, sysctls)).split() == ["512", "Seccomp:", "2"]


async def test_an_exit_begins_the_whole_pod_anew(node: RealNode) -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    mounts = [{"name": "v", "mountPath": "/v"}]
    first = "echo init >> /v/x; [ $(wc -l < /v/x) -gt 1 ] || touch /v/once"
    ends = "[ -e /v/once ] && rm /v/once && exit 88; trap 'exit 0' TERM; while :; do sleep 0.1; done"
    spec = {
        "restartPolicy": "Never",
        "initContainers": [container("first", command=["sh", "-c", first], volumeMounts=mounts)],
        "containers": [
            container(
                command=["sh", "-c", ends], volumeMounts=mounts, restartPolicy="Never", restartPolicyRules=[rule]
            ),
            container("other", command=WAIT),
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    await node.create("anew", spec)

    def begun_anew(pod: Tree) -> bool:
        shown = pod["status"].get("containerStatuses") or ()
        return len(shown) == 2 and all(one["restartCount"] == 1 and one.get("ready") for one in shown)

    pod = await node.pod("anew", begun_anew)
    conditions = {one["type"]: one["status"] for one in pod["status"]["conditions"]}
    assert conditions["AllContainersRestarting"] == "False"
    assert pod["status"]["initContainerStatuses"][0]["restartCount"] == 1


async def test_variables_from_a_file_and_an_image_as_a_volume(node: RealNode) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    env = [{"name": "FOUND", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "env", "key": "WHAT"}}}]
    of_pod = {
        "initContainers": [
            container("first", command=["sh", "-c", "echo \"WHAT='that'\" > /v/env"], volumeMounts=mounts)
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    assert await said(node, "told", "echo $FOUND", of_pod, env=env) == "that"
