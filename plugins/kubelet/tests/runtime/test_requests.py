"""What the reaper is asked for, as plain values."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.runtime.errors import InvalidConfig
from hyperkube_kubelet.runtime.process.capabilities import ALL, DEFAULT, UnknownCapability, mask
from hyperkube_kubelet.runtime.process.checks import node_findings, refusal
from hyperkube_kubelet.runtime.process.codec import decode, encode
from hyperkube_kubelet.runtime.process.description import Node, limitations
from hyperkube_kubelet.runtime.process.hostports import wanted_ports
from hyperkube_kubelet.runtime.process.images import StoredImage, host_image
from hyperkube_kubelet.runtime.process.nodefiles import parse_resolv_conf
from hyperkube_kubelet.runtime.process.requests import (
    DEFAULT_PATH,
    command_line,
    container_request,
    environment,
    sandbox_request,
    stop_signal,
)
from hyperkube_kubelet.runtime.process.starting import loopback_cidr
from hyperkube_kubelet.runtime.process.users import User, Users, read_users, resolve_user
from hyperkube_kubelet.runtime.values import (
    DNS,
    ContainerConfig,
    Image,
    Limits,
    Mount,
    PortMapping,
    Sandbox,
    SandboxConfig,
    SandboxState,
    Security,
)

POD = SandboxConfig(name="web-0", namespace="shop", uid="u", hostname="web", log_directory=Path("/logs"))
WEB = ContainerConfig(name="web", image="app:1", log_path="web/0.log")
IMAGE = Image(id="sha256:1", tags=(), digests=(), size=1, entrypoint=("/app",), command=("-v",), env=(("A", "image"),))
STORED = StoredImage(IMAGE, Path("/images/x"), "app@sha256:2")
ROOT = User(0, 0, (), "/root")
NODE = Node(version=1, isolated=True, network="namespace", all_users=True, overlay=True, limits=("cpu", "memory"))


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ((), (), ["/app", "-v"]),
        ((), ("-q",), ["/app", "-q"]),
        (("sh",), (), ["sh"]),
        (("sh",), ("-c", "x"), ["sh", "-c", "x"]),
    ],
)
def test_commands_and_arguments_of_pod_and_image(command: Any, args: Any, expected: list[str]) -> None:
    assert command_line(replace(WEB, command=command, args=args), IMAGE) == expected


def test_a_container_needs_a_program() -> None:
    with pytest.raises(InvalidConfig, match="no command specified"):
        command_line(WEB, replace(IMAGE, entrypoint=(), command=()))
    with pytest.raises(InvalidConfig, match=r"hk\.local/host has no program of its own"):
        command_line(WEB, host_image().image)


@pytest.mark.parametrize(("euid", "options"), [(0, None), (1000, "--no-same-owner")])
def test_tar_gives_files_to_others_where_there_are_others(
    monkeypatch: pytest.MonkeyPatch, euid: int, options: str | None
) -> None:
    """`kubectl cp` has it unpack files that belong to whoever packed them."""
    monkeypatch.setattr("os.geteuid", lambda: euid)
    assert environment(WEB, host_image().image, ROOT, "web", {}).get("TAR_OPTIONS") == options


def test_the_pods_variables_go_over_the_images() -> None:
    config = replace(WEB, env=(("A", "pod"), ("B", "1"), ("B", "2")), tty=True)
    assert environment(config, IMAGE, ROOT, "web", {"POD_IP": "127.0.0.9"}) == {
        "PATH": DEFAULT_PATH,
        "HOSTNAME": "web",
        "TERM": "xterm",
        "POD_IP": "127.0.0.9",
        "A": "pod",
        "B": "2",
        "HOME": "/root",
    }
    told = environment(replace(WEB, env=(("POD_IP", "mine"), ("HOME", "/h"))), IMAGE, ROOT, "web", {"POD_IP": "x"})
    assert (told["POD_IP"], told["HOME"]) == ("mine", "/h")


@pytest.mark.parametrize(
    ("text", "number"), [("", 15), ("SIGUSR1", 10), ("usr1", 10), ("9", 9), ("SIGRTMIN+3", 37), ("QUIT", 3)]
)
def test_stop_signals(text: str, number: int) -> None:
    assert stop_signal(text) == number


@pytest.mark.parametrize("text", ["SIGNOTHING", "0", "999", "SIGRTMIN+x", "-1"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfig, match="unknown signal"):
        stop_signal(text)


def test_what_a_container_is_made_of() -> None:
    config = replace(
        WEB,
        mounts=(Mount(container_path="/data", host_path=Path("/v"), readonly=True),),
        limits=Limits(oom_score_adj=7, rlimits={"nofile": (1, 2)}),
        security=Security(masked_paths=("/proc/kcore",), no_new_privileges=True),
    )
    request = container_request(POD, "10.0.0.2", config, STORED, ROOT, NODE)
    run = request["run"]
    assert request["log_path"] == "/logs/web/0.log"
    assert (request["image_id"], request["image_ref"]) == ("sha256:1", "app@sha256:2")
    assert run["root"] == {"kind": "image", "lower": "/images/x"}
    assert run["mounts"] == [
        {
            "source": "/v",
            "resolved": False,
            "target": "/data",
            "readonly": True,
            "recursive_readonly": False,
            "propagation": "None",
        }
    ]
    assert (run["oom_score_adj"], run["rlimits"], run["masked"]) == (7, {"nofile": [1, 2]}, ["/proc/kcore"])
    assert ["POD_IP", "10.0.0.2"] not in run["env"], "it has an address of its own"
    assert run["no_new_privileges"]
    assert not run["readonly_root"]


def test_the_machines_own_root_is_read_only_and_hides_secrets() -> None:
    node = replace(NODE, hidden=(Path("/kubelet"), Path("/keys")))
    config = replace(WEB, command=("sh",))
    run = container_request(POD, "10.0.0.2", config, host_image(), ROOT, node)["run"]
    assert run["root"] == {"kind": "host"}
    assert run["readonly_root"]
    assert run["masked"] == ["/kubelet", "/keys"]


def test_pods_of_loopback_are_told_their_address() -> None:
    node = replace(NODE, network="loopback")
    run = container_request(POD, "127.9.9.2", WEB, STORED, ROOT, node)["run"]
    assert ["POD_IP", "127.9.9.2"] in run["env"]
    assert ["HK_POD_IP", "127.9.9.2"] in run["env"]


@pytest.mark.parametrize(
    ("node", "user", "stored", "refused"),
    [
        (NODE, (1000, 1000), STORED, False),
        (replace(NODE, all_users=False), (1000, 1000), STORED, False),
        (replace(NODE, isolated=False), (1000, 1000), STORED, True),
        (replace(NODE, isolated=False), (1000, 1000), host_image(), False),
        (replace(NODE, isolated=False, all_users=False), (1000, 1000), host_image(), True),
        (replace(NODE, isolated=False, all_users=False, owner=(1000, 1000)), (1000, 1000), STORED, False),
        (replace(NODE, isolated=False, all_users=False), (0, 0), STORED, False),
    ],
)
def test_users_that_can_not_be_had_are_refused(node: Node, user: tuple[int, int], stored: Any, refused: bool) -> None:
    config = replace(WEB, command=("sh",))
    if refused:
        with pytest.raises(InvalidConfig, match="asks to run as user 1000 and group 1000"):
            container_request(POD, "", config, stored, User(*user), node)
    else:
        assert container_request(POD, "", config, stored, User(*user), node)["run"]["uid"] == user[0]


def test_the_files_of_a_sandbox() -> None:
    dns = DNS(servers=("10.96.0.10",), searches=("a.local", "local"), options=("ndots:5",))
    files = sandbox_request(replace(POD, dns=dns), DNS(servers=("9.9.9.9",)), "machine")["files"]
    assert files["resolv.conf"] == "nameserver 10.96.0.10\nsearch a.local local\noptions ndots:5\n"
    assert files["hostname"] == "web\n"
    assert files["hosts"].endswith("$IP\tweb\n")
    request = sandbox_request(replace(POD, host_network=True), DNS(servers=("9.9.9.9",)), "machine")
    assert request["files"]["resolv.conf"] == "nameserver 9.9.9.9\n"
    assert request["files"]["hostname"] == "machine\n"
    assert "$IP" not in request["files"]["hosts"]
    assert request["config"]["hostname"] == "machine"


def test_name_servers_of_the_machine() -> None:
    text = "# x\nnameserver 1.1.1.1 ; c\nnameserver 2.2.2.2\ndomain a\nsearch b c\noptions ndots:2 edns0\nbad\n"
    assert parse_resolv_conf(text) == DNS(("1.1.1.1", "2.2.2.2"), ("b", "c"), ("ndots:2", "edns0"))


# Capabilities


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), DEFAULT),
        ((), ("ALL",), 0),
        (("NET_ADMIN",), ("ALL",), 1 << 12),
        (("CAP_NET_ADMIN",), (), DEFAULT | 1 << 12),
        ((), ("chown",), DEFAULT & ~1),
        (("ALL",), ("SYS_ADMIN",), ALL & ~(1 << 21)),
    ],
)
def test_capabilities(add: Any, drop: Any, expected: int) -> None:
    assert mask(add=add, drop=drop, privileged=False) == expected


def test_the_default_capabilities_are_containerds() -> None:
    assert DEFAULT == 0xA80425FB
    assert mask(add=(), drop=("ALL",), privileged=True) == ALL


def test_an_unknown_capability_is_refused() -> None:
    with pytest.raises(UnknownCapability, match="FLY"):
        mask(add=("FLY",), drop=(), privileged=False)
    security = Security(add_capabilities=("FLY",))
    with pytest.raises(InvalidConfig, match="FLY"):
        container_request(POD, "", replace(WEB, security=security), STORED, ROOT, NODE)


# Users


@pytest.fixture
def users(tmp_path: Path) -> Users:
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1001:1002::/srv:/bin/sh\nbroken\nx:x:y:0::/:\n")
    (etc / "group").write_text("root:x:0:\nstaff:x:50:app,other\nbroken\n")
    return read_users(tmp_path)


@pytest.mark.parametrize(
    ("security", "image", "expected"),
    [
        (Security(), "", User(0, 0, (), "/root")),
        (Security(), "app", User(1001, 1002, (50,), "/srv")),
        (Security(), "1001", User(1001, 1002, (50,), "/srv")),
        (Security(), "app:staff", User(1001, 50, (50,), "/srv")),
        (Security(), "77:88", User(77, 88, (), "/")),
        (Security(run_as_user=5), "app:staff", User(5, 0, (), "/")),
        (Security(run_as_user=1001, run_as_group=9), "", User(1001, 9, (50,), "/srv")),
        (Security(run_as_group=9), "app", User(1001, 9, (50,), "/srv")),
        (Security(run_as_username="app"), "", User(1001, 1002, (50,), "/srv")),
        (Security(run_as_user=1001, supplemental_groups=(7, 50)), "", User(1001, 1002, (7, 50), "/srv")),
    ],
)
def test_users_of_pod_and_image(users: Users, security: Security, image: str, expected: User) -> None:
    assert resolve_user(security, image, users) == expected


@pytest.mark.parametrize("image", ["nobody", "app:nobody"])
def test_a_user_that_the_image_does_not_know_is_refused(users: Users, image: str) -> None:
    with pytest.raises(InvalidConfig, match="unable to find"):
        resolve_user(Security(), image, users)


def test_a_file_of_users_that_leads_elsewhere_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").symlink_to("/etc/passwd")
    assert read_users(tmp_path).by_name == {}


def test_a_file_of_users_that_is_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc" / "passwd")
    assert read_users(tmp_path).by_name == {}


# What is said of a machine


def reasons(node: Node) -> list[str]:
    return [limitation.reason for limitation in limitations(node)]


def test_what_a_machine_can_not_do_is_said() -> None:
    always = ["NoSecurityProfiles"]
    found = limitations(replace(NODE, limits=("cpu",), why={"limits": "Permission denied"}))
    assert ("LimitsNotEnforced", True) in [
        (item.reason, "memory are not enforced (Permission" in item.message) for item in found
    ]
    assert reasons(NODE) == ["NoWayOut", *always]
    assert reasons(replace(NODE, all_users=False, overlay=False)) == ["NoWayOut", "NoOverlay", "OneUserEach", *always]
    plain = replace(NODE, isolated=False, network="loopback", why={"isolation": "Operation not permitted"})
    assert reasons(plain) == ["NoNamespaces", "PodsOnLoopback", *always]
    assert "Operation not permitted" in limitations(plain)[0].message


def test_doctor_says_what_to_do() -> None:
    found = {finding.check: finding.state for finding in node_findings(NODE, "")}
    assert found == dict.fromkeys(
        ["pods: isolation", "pods: images", "pods: limits", "pods: network", "pods: services"], "ok"
    )
    plain = replace(NODE, isolated=False, network="loopback", why={"isolation": "Operation not permitted"})
    plain = replace(plain, limits=(), why={**plain.why, "limits": "Operation not permitted"})
    for finding in node_findings(plain, ""):
        assert finding.state == "warning"
        assert "Operation not permitted" in finding.detail
        assert finding.advice
    states = [finding.state for finding in node_findings(NODE, "No such file or directory")]
    assert states == ["ok", "ok", "ok", "ok", "warning"]


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        (10 << 8 | 15, 7, ""),  # the generation that was asked for
        (2, 0, ""),
        (2, -errno.EPERM, "Operation not permitted"),
        (2, -errno.EINVAL, "Invalid argument"),  # no nf_tables in this kernel
    ],
)
def test_doctor_hears_what_the_kernel_says_of_rules(kind: int, error: int, said: str) -> None:
    assert refusal(struct.pack("=IHHIIi", 20, kind, 0, 1, 0, error)) == said


# Values that are kept


def test_what_is_kept_for_the_next_kubelet_is_what_it_was() -> None:
    pod = replace(POD, labels={"a": "b"}, ports=(PortMapping(80, 8080),), dns=DNS(("1.1.1.1",)), sysctls={"x": "y"})
    container = replace(
        WEB,
        env=(("A", "b"),),
        mounts=(Mount(container_path="/d", host_path=Path("/v")),),
        limits=Limits(cpu_quota=5, rlimits={"nofile": (1, 2)}),
        security=Security(run_as_user=0, supplemental_groups=(1,)),
    )
    assert decode(SandboxConfig, encode(pod)) == pod
    assert decode(ContainerConfig, encode(container)) == container


def test_what_another_version_kept_is_read_as_far_as_it_goes() -> None:
    document = {**encode(WEB), "from_the_future": 1}
    del document["tty"]
    assert decode(ContainerConfig, document) == WEB
    with pytest.raises(ValueError, match="SandboxConfig lacks uid"):
        decode(SandboxConfig, {"name": "a", "namespace": "b"})


def test_ports_of_the_node_go_to_the_older_pod() -> None:
    def sandbox(number: int, *ports: PortMapping, state: SandboxState = SandboxState.READY) -> Sandbox:
        config = replace(POD, ports=ports)
        return Sandbox(id=str(number), config=config, state=state, created_at=number, ips=(f"10.0.0.{number}",))

    assert wanted_ports(
        [
            sandbox(3, PortMapping(80, 8080), PortMapping(81, 8081)),
            sandbox(2, PortMapping(80, 8080), PortMapping(90), PortMapping(53, 53, "UDP")),
            sandbox(1, PortMapping(80, 8080), state=SandboxState.NOT_READY),
            sandbox(4, PortMapping(80, 8080, "TCP", "127.0.0.2")),
        ]
    ) == {
        ("127.0.0.1", 8080): ("10.0.0.2", 80),
        ("127.0.0.1", 8081): ("10.0.0.3", 81),
        ("127.0.0.2", 8080): ("10.0.0.4", 80),
    }


def test_nodes_of_one_machine_have_addresses_of_their_own(tmp_path: Path) -> None:
    cidrs = {loopback_cidr(tmp_path / str(number)) for number in range(20)}
    assert len(cidrs) > 15
    assert all(cidr.startswith("127.") and not cidr.startswith("127.0.") for cidr in cidrs)
    assert loopback_cidr(tmp_path) == loopback_cidr(Path(os.path.relpath(tmp_path)))
