"""The kubelet's values as CRI's messages, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.runtime.cri.answers import (
    listed_container,
    read_container,
    read_image,
    read_sandbox,
    read_status,
)
from hyperkube_kubelet.runtime.cri.failures import failure_of
from hyperkube_kubelet.runtime.cri.messages import MESSAGES
from hyperkube_kubelet.runtime.cri.requests import auth_message, container_message, limits_message, sandbox_message
from hyperkube_kubelet.runtime.cri.statistics import read_container_stats, read_sandbox_stats
from hyperkube_kubelet.runtime.errors import (
    CreateFailed,
    ExecFailed,
    ImageUnavailable,
    NotFound,
    RuntimeFailure,
    RuntimeUnavailable,
    StartFailed,
    Unsupported,
)
from hyperkube_kubelet.runtime.values import (
    DNS,
    ContainerConfig,
    ContainerState,
    Credentials,
    IDMapping,
    Limits,
    Mount,
    PortMapping,
    SandboxConfig,
    SandboxState,
    Security,
)
from hyperkube_machinery.grpc import CallFailed, Code

POD = SandboxConfig(name="web", namespace="shop", uid="0b5e")
WEB = ContainerConfig(name="web", image="web:1")
POD_NAMESPACE, CONTAINER_NAMESPACE, NODE_NAMESPACE, TARGET_NAMESPACE = range(4)


def sent(kind: str, message: dict[str, Any]) -> dict[str, Any]:
    """What the other side reads of a message."""
    return MESSAGES.decode(kind, MESSAGES.encode(kind, message))


@pytest.mark.parametrize(
    ("change", "network", "pid", "ipc"),
    [
        ({}, POD_NAMESPACE, CONTAINER_NAMESPACE, POD_NAMESPACE),
        ({"share_processes": True}, POD_NAMESPACE, POD_NAMESPACE, POD_NAMESPACE),
        ({"host_pid": True}, POD_NAMESPACE, NODE_NAMESPACE, POD_NAMESPACE),
        ({"host_network": True, "host_ipc": True}, NODE_NAMESPACE, CONTAINER_NAMESPACE, NODE_NAMESPACE),
    ],
)
def test_a_sandbox_and_its_containers_have_its_namespaces(
    change: dict[str, Any], network: int, pid: int, ipc: int
) -> None:
    pod = replace(POD, **change)
    of_sandbox = sent("PodSandboxConfig", sandbox_message(pod))["linux"]["security_context"]["namespace_options"]
    of_container = sent("ContainerConfig", container_message(WEB, pod))["linux"]["security_context"][
        "namespace_options"
    ]
    assert (of_sandbox["network"], of_sandbox["pid"], of_sandbox["ipc"]) == (network, pid, ipc)
    assert of_container == of_sandbox


def test_a_container_may_be_among_the_processes_of_another() -> None:
    message = sent("ContainerConfig", container_message(replace(WEB, processes_of="other"), POD))
    options = message["linux"]["security_context"]["namespace_options"]
    assert (options["pid"], options["target_id"]) == (TARGET_NAMESPACE, "other")


def test_a_sandbox_has_all_that_its_pod_asks_for() -> None:
    pod = replace(
        POD,
        attempt=2,
        hostname="web-0",
        log_directory=Path("/logs/web"),
        labels={"app": "web"},
        annotations={"a": "b"},
        ports=(PortMapping(80, 8080, "UDP", "127.0.0.1"),),
        dns=DNS(("10.0.0.10",), ("svc",), ("ndots:5",)),
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
        cgroup_parent="/kubepods/pod0b5e",
        overhead=Limits(memory_bytes=1),
        limits=Limits(cpu_shares=2),
        security=Security(run_as_user=0, supplemental_groups=(5,), privileged=True),
        user_namespace=(IDMapping(host_id=65536, container_id=0, length=65536),),
    )
    message = sent("PodSandboxConfig", sandbox_message(pod))
    assert message["metadata"] == {"name": "web", "uid": "0b5e", "namespace": "shop", "attempt": 2}
    assert (message["hostname"], message["log_directory"]) == ("web-0", "/logs/web")
    assert (message["labels"], message["annotations"]) == ({"app": "web"}, {"a": "b"})
    assert message["dns_config"] == {"servers": ["10.0.0.10"], "searches": ["svc"], "options": ["ndots:5"]}
    assert message["port_mappings"] == [
        {"protocol": 1, "container_port": 80, "host_port": 8080, "host_ip": "127.0.0.1"}
    ]
    linux = message["linux"]
    assert (linux["cgroup_parent"], linux["sysctls"]) == (pod.cgroup_parent, pod.sysctls)
    assert linux["overhead"]["memory_limit_in_bytes"] == 1
    assert linux["resources"]["cpu_shares"] == 2
    security = linux["security_context"]
    assert (security["run_as_user"], security["run_as_group"]) == ({"value": 0}, None)
    assert (security["supplemental_groups"], security["privileged"]) == ([5], True)
    users = security["namespace_options"]["userns_options"]
    assert users["uids"] == users["gids"] == [{"host_id": 65536, "container_id": 0, "length": 65536}]


def test_a_pod_without_dns_of_its_own_has_the_nodes() -> None:
    assert sent("PodSandboxConfig", sandbox_message(POD))["dns_config"] is None


@pytest.mark.parametrize(
    ("name", "kind", "reference", "old"),
    [
        ("RuntimeDefault", 0, "", "runtime/default"),
        ("Unconfined", 1, "", "unconfined"),
        ("mine", 2, "mine", "localhost/mine"),
    ],
)
def test_profiles_are_told_in_both_ways(name: str, kind: int, reference: str, old: str) -> None:
    config = replace(WEB, security=Security(seccomp=name, apparmor=name))
    security = sent("ContainerConfig", container_message(config, POD))["linux"]["security_context"]
    assert security["seccomp"] == {"profile_type": kind, "localhost_ref": reference}
    assert (security["apparmor"], security["apparmor_profile"]) == (security["seccomp"], old)


def test_without_a_profile_nothing_is_confined() -> None:
    security = sent("ContainerConfig", container_message(WEB, POD))["linux"]["security_context"]
    assert security["seccomp"]["profile_type"] == 1
    assert (security["apparmor"], security["apparmor_profile"], security["capabilities"]) == (None, "", None)


def test_mounts_keep_how_they_are_seen() -> None:
    mounts = (
        Mount(container_path="/a", host_path=Path("/h"), readonly=True, propagation="HostToContainer"),
        Mount(container_path="/i", host_path=Path("/none"), image="files:1", image_sub_path="etc"),
    )
    first, second = sent("ContainerConfig", container_message(replace(WEB, mounts=mounts), POD))["mounts"]
    assert (first["container_path"], first["host_path"], first["readonly"], first["propagation"]) == (
        "/a",
        "/h",
        True,
        1,
    )
    assert (second["host_path"], second["image"]["image"], second["image_sub_path"]) == ("", "files:1", "etc")


def test_a_container_has_all_that_its_spec_asks_for() -> None:
    config = replace(
        WEB,
        image_id="sha256:1",
        command=("sh",),
        args=("-c", "x"),
        env=(("A", "1"), ("B", "\udcff")),
        stdin=True,
        tty=True,
        log_path="web/0.log",
        stop_signal="SIGUSR1",
        security=Security(add_capabilities=("NET_ADMIN",), drop_capabilities=("ALL",), no_new_privileges=True),
    )
    message = sent("ContainerConfig", container_message(config, POD))
    assert (message["image"]["image"], message["image"]["user_specified_image"]) == ("sha256:1", "web:1")
    assert (message["command"], message["args"]) == (["sh"], ["-c", "x"])
    assert message["envs"] == [{"key": "A", "value": b"1"}, {"key": "B", "value": b"\xff"}]
    assert (message["stdin"], message["stdin_once"], message["tty"], message["stop_signal"]) == (True, False, True, 29)
    security = message["linux"]["security_context"]
    assert security["capabilities"]["add_capabilities"] == ["NET_ADMIN"]
    assert security["capabilities"]["drop_capabilities"] == ["ALL"]
    assert security["no_new_privs"]


def test_limits_that_are_not_set_are_not_sent() -> None:
    found = sent("LinuxContainerResources", limits_message(Limits()))
    assert {name: value for name, value in found.items() if value} == {"cpu_period": 100_000}
    held = Limits(
        cpu_quota=5000, memory_bytes=7, oom_score_adj=-997, hugepages={"2MB": 1}, unified={"memory.high": "9"}
    )
    found = sent("LinuxContainerResources", limits_message(held))
    assert (found["cpu_quota"], found["memory_limit_in_bytes"], found["oom_score_adj"]) == (5000, 7, -997)
    assert found["hugepage_limits"] == [{"page_size": "2MB", "limit": 1}]
    assert found["unified"] == {"memory.high": "9"}


def test_passwords_are_sent_and_not_shown() -> None:
    credentials = Credentials(username="u", password="secret")
    assert sent("AuthConfig", auth_message(credentials) or {})["password"] == "secret"
    assert "secret" not in repr(credentials)
    assert auth_message(None) is None


def test_a_sandbox_is_read() -> None:
    message = {
        "id": "s",
        "metadata": {"name": "web", "uid": "0b5e", "namespace": "shop", "attempt": 1},
        "state": 0,
        "created_at": 1_500_000_000,
        "network": {"ip": "10.0.0.2", "additional_ips": [{"ip": "fd00::2"}]},
        "labels": {"a": "b"},
        "runtime_handler": "kata",
    }
    sandbox = read_sandbox(sent("PodSandboxStatus", message))
    assert (sandbox.id, sandbox.state, sandbox.created_at) == ("s", SandboxState.READY, 1.5)
    assert (sandbox.ips, sandbox.runtime_handler) == (("10.0.0.2", "fd00::2"), "kata")
    assert (sandbox.config.uid, sandbox.config.attempt, sandbox.config.labels) == ("0b5e", 1, {"a": "b"})
    in_nodes = {**message, "state": 1, "linux": {"namespaces": {"options": {"network": 2}}}}
    sandbox = read_sandbox(sent("PodSandboxStatus", in_nodes))
    assert (sandbox.ips, sandbox.config.host_network, sandbox.state) == ((), True, SandboxState.NOT_READY)


@pytest.mark.parametrize(
    ("number", "state"),
    [(0, ContainerState.CREATED), (1, ContainerState.RUNNING), (2, ContainerState.EXITED), (3, ContainerState.UNKNOWN)],
)
def test_a_container_is_read(number: int, state: ContainerState) -> None:
    message = {
        "id": "c",
        "metadata": {"name": "web", "attempt": 4},
        "state": number,
        "started_at": 2_000_000_000,
        "exit_code": 137,
        "image": {"image": "web:1"},
        "image_ref": "web@sha256:2",
        "reason": "OOMKilled",
        "mounts": [{"container_path": "/a", "host_path": "/h", "propagation": 2}],
        "log_path": "/logs/0.log",
        "user": {"linux": {"uid": 1, "gid": 2, "supplemental_groups": [3]}},
    }
    found = read_container(sent("ContainerStatus", message), "s")
    assert (found.id, found.sandbox_id, found.state, found.started_at) == ("c", "s", state, 2.0)
    assert (found.config.name, found.config.attempt, found.config.image) == ("web", 4, "web:1")
    assert (found.image_ref, found.image_id) == ("web@sha256:2", "web@sha256:2")
    assert (found.exit_code, found.reason, found.user) == (137, "OOMKilled", (1, 2, (3,)))
    assert found.config.mounts[0].propagation == "Bidirectional"
    newer = read_container(sent("ContainerStatus", {**message, "image_id": "sha256:1"}), "s")
    assert newer.image_id == "sha256:1"
    listed = listed_container(sent("Container", {"id": "c", "pod_sandbox_id": "s", "state": number}))
    assert (listed.sandbox_id, listed.state) == ("s", state)


@pytest.mark.parametrize(
    ("message", "user"), [({"uid": {"value": 0}}, "0"), ({"username": "nobody"}, "nobody"), ({}, "")]
)
def test_an_image_is_read(message: dict[str, Any], user: str) -> None:
    found = read_image(sent("Image", {"id": "i", "repo_tags": ["a:1"], "size": 5, "pinned": True, **message}))
    assert (found.id, found.tags, found.size, found.pinned, found.user) == ("i", ("a:1",), 5, True, user)


def test_a_runtime_says_how_it_is() -> None:
    network = {"type": "NetworkReady", "status": False, "reason": "NetworkPluginNotReady", "message": "no"}
    status = sent(
        "StatusResponse",
        {
            "status": {"conditions": [{"type": "RuntimeReady", "status": True}, network]},
            "runtime_handlers": [{"name": ""}, {"name": "kata", "features": {"user_namespaces": True}}],
            "features": {"supplemental_groups_policy": True},
        },
    )
    found = read_status(status, {"runtime_name": "containerd", "runtime_version": "1.6.20"}, "cgroupfs")
    assert (found.name, found.version, found.ready, found.network_ready) == ("containerd", "1.6.20", True, False)
    assert (found.network_reason, found.network_message) == ("NetworkPluginNotReady", "no")
    assert [handler.user_namespaces for handler in found.handlers] == [False, True]
    assert found.features is not None
    assert found.features.supplemental_groups_policy
    silent = read_status(sent("StatusResponse", {}), {"runtime_name": "x", "runtime_version": "1"})
    assert (silent.ready, silent.network_ready, silent.features) == (False, False, None)


def test_figures_are_read() -> None:
    message = {
        "attributes": {"id": "c"},
        "cpu": {"timestamp": 3_000_000_000, "usage_core_nano_seconds": {"value": 5}},
        "memory": {"working_set_bytes": {"value": 6}, "page_faults": {"value": 0}},
        "writable_layer": {"used_bytes": {"value": 7}, "inodes_used": {"value": 8}},
    }
    found = read_container_stats(sent("ContainerStats", message), 9.0)
    assert (found.container_id, found.at, found.cpu_nanoseconds, found.memory_bytes) == ("c", 3.0, 5, 6)
    assert (found.page_faults, found.usage_bytes) == (0, None)
    assert (found.writable_bytes, found.writable_inodes) == (7, 8)
    assert read_container_stats(sent("ContainerStats", {}), 9.0).at == 9.0
    eth, lo = {"name": "eth0", "rx_bytes": {"value": 1}}, {"name": "lo"}
    network = {"default_interface": eth, "interfaces": [lo, eth]}
    of_pod = read_sandbox_stats(
        sent("PodSandboxStats", {"attributes": {"id": "s"}, "linux": {"network": network}}), 9.0
    )
    assert [(one.name, one.received_bytes) for one in of_pod.interfaces] == [("eth0", 1), ("lo", 0)]


@pytest.mark.parametrize(
    ("call", "code", "kind"),
    [
        ("ContainerStatus", Code.NOT_FOUND, NotFound),
        ("RunPodSandbox", Code.UNAVAILABLE, RuntimeUnavailable),
        ("RunPodSandbox", Code.DEADLINE_EXCEEDED, RuntimeUnavailable),
        ("RunPodSandbox", Code.UNKNOWN, CreateFailed),
        ("CreateContainer", Code.INVALID_ARGUMENT, CreateFailed),
        ("StartContainer", Code.UNKNOWN, StartFailed),
        ("RuntimeConfig", Code.UNIMPLEMENTED, Unsupported),
        ("PullImage", Code.NOT_FOUND, ImageUnavailable),
        ("PullImage", Code.UNAVAILABLE, RuntimeUnavailable),
        ("StopContainer", Code.INTERNAL, RuntimeFailure),
    ],
)
def test_a_refusal_means_what_was_asked(call: str, code: Code, kind: type[RuntimeFailure]) -> None:
    failure = failure_of(call, CallFailed(code, "why"))
    assert type(failure) is kind
    assert str(failure).startswith("rpc error: code = ")


@pytest.mark.parametrize(
    ("message", "exit_code"),
    [('exec: "x": executable file not found in $PATH', 127), ("permission denied", 126)],
)
def test_a_command_that_can_not_be_started_has_the_shells_exit_code(message: str, exit_code: int) -> None:
    failure = failure_of("ExecSync", CallFailed(Code.UNKNOWN, message))
    assert isinstance(failure, ExecFailed)
    assert failure.exit_code == exit_code
