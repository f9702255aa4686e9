"""What the reaper is asked for, worked out from what the kubelet wants. Nothing here touches the system."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hyperkube_kubelet.runtime.errors import InvalidConfig
from hyperkube_kubelet.runtime.process.capabilities import UnknownCapability, mask
from hyperkube_kubelet.runtime.process.codec import encode
from hyperkube_kubelet.runtime.process.description import Node
from hyperkube_kubelet.runtime.process.images import HOST_IMAGE, StoredImage
from hyperkube_kubelet.runtime.process.users import User
from hyperkube_kubelet.runtime.values import DNS, ContainerConfig, Image, SandboxConfig

__all__ = [
    "DEFAULT_PATH",
    "command_line",
    "container_request",
    "environment",
    "limits_request",
    "sandbox_request",
    "stop_signal",
    "told_config",
]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def sandbox_request(config: SandboxConfig, node_dns: DNS, hostname: str) -> dict[str, Any]:
    """`node_dns` and `hostname` are the machine's own; in the files "$IP" stands for the address that is to come."""
    dns = node_dns if config.dns is None else config.dns
    lines = [
        *(f"nameserver {server}" for server in dns.servers),
        *((f"search {' '.join(dns.searches)}",) if dns.searches else ()),
        *((f"options {' '.join(dns.options)}",) if dns.options else ()),
    ]
    name = hostname if config.host_network else config.hostname or config.name
    hosts = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    if not config.host_network:
        hosts.append(f"$IP\t{name}")
    files = {"hosts": hosts, "hostname": [name], "resolv.conf": lines}
    document = {**encode(config), "hostname": name}
    return {
        "op": "run_sandbox",
        "config": document,
        "files": {path: "".join(f"{line}\n" for line in content) for path, content in files.items()},
    }


def container_request(
    sandbox: SandboxConfig, ip: str, config: ContainerConfig, stored: StoredImage, user: User, node: Node
) -> dict[str, Any]:
    """What creates a container, all but the sandbox's id. Raises InvalidConfig."""
    security = config.security
    host = stored.root is None
    _check_user(user, node, host=host)
    if security.seccomp not in ("", "RuntimeDefault", "Unconfined"):
        raise InvalidConfig(f"seccomp profile {security.seccomp} can't be applied: this runtime applies none")
    try:
        capabilities = mask(
            add=security.add_capabilities, drop=security.drop_capabilities, privileged=security.privileged
        )
    except UnknownCapability as exc:
        raise InvalidConfig(str(exc)) from exc
    hostname = sandbox.hostname or sandbox.name
    run = {
        "root": {"kind": "host"} if host else {"kind": "image", "lower": str(stored.root)},
        "argv": command_line(config, stored.image),
        "env": [list(pair) for pair in environment(config, stored.image, user, hostname, _told(ip, node)).items()],
        "cwd": config.working_dir or stored.image.working_dir or "/",
        "mounts": [
            {
                "source": str(mount.host_path),
                "resolved": mount.resolved,
                "target": mount.container_path,
                "readonly": mount.readonly,
                "recursive_readonly": mount.recursive_readonly,
                "propagation": mount.propagation,
            }
            for mount in config.mounts
        ],
        "uid": user.uid,
        "gid": user.gid,
        "groups": list(user.groups),
        "capabilities": capabilities,
        "no_new_privileges": security.no_new_privileges,
        "processes_of": config.processes_of,
        "readonly_root": security.readonly_root or host,
        "masked": [*security.masked_paths, *(map(str, node.hidden) if host else ())],
        "readonly_paths": list(security.readonly_paths),
        "rlimits": {name: list(limits) for name, limits in config.limits.rlimits.items()},
        "tty": config.tty,
        "stdin": config.stdin,
        "stdin_once": config.stdin_once,
        "stop_signal": stop_signal(config.stop_signal or stored.image.stop_signal),
        "oom_score_adj": config.limits.oom_score_adj,
        "limits": limits_request(config),
        "cgroup_parent": sandbox.cgroup_parent,
    }
    log = sandbox.log_directory / config.log_path if sandbox.log_directory and config.log_path else ""
    return {
        "op": "create_container",
        "config": told_config(config),
        "run": run,
        "image_id": stored.image.id,
        "image_ref": stored.reference,
        "log_path": str(log),
    }


def told_config(config: ContainerConfig) -> dict[str, Any]:
    """What the reaper tells of a container again and again: without its variables, long and secret as they may be."""
    told: dict[str, Any] = encode(replace(config, env=()))
    return told


def limits_request(config: ContainerConfig) -> dict[str, int | None]:
    """What control groups are to hold a container to."""
    limits = config.limits
    return {
        "cpu_shares": limits.cpu_shares,
        "cpu_quota": limits.cpu_quota,
        "cpu_period": limits.cpu_period,
        "memory_bytes": limits.memory_bytes,
    }


def _told(ip: str, node: Node) -> dict[str, str]:
    """Where a pod has an address of the machine's, it must know it: binding 0.0.0.0 would take the port from all."""
    return {"POD_IP": ip, "HK_POD_IP": ip} if node.network == "loopback" and ip else {}


def _check_user(user: User, node: Node, *, host: bool) -> None:
    if node.isolated or (user.uid, user.gid) in ((0, 0), node.owner) or (node.all_users and host):
        return
    raise InvalidConfig(
        f"it asks to run as user {user.uid} and group {user.gid}, which takes user namespaces, and there are none"
        f" for the kubelet: {node.why.get('isolation', 'it was told to do without')}"
    )


def command_line(config: ContainerConfig, image: Image) -> list[str]:
    """The image's entry point and arguments, as far as the pod doesn't say otherwise. Raises InvalidConfig."""
    if config.command:
        words: Sequence[str] = (*config.command, *config.args)
    else:
        words = (*image.entrypoint, *(config.args or image.command))
    if not words or not words[0]:
        hint = f": {HOST_IMAGE} has no program of its own" if f"{HOST_IMAGE}:latest" in image.tags else ""
        raise InvalidConfig(f"no command specified{hint}")
    return list(words)


def environment(
    config: ContainerConfig, image: Image, user: User, hostname: str, told: Mapping[str, str]
) -> dict[str, str]:
    """The variables of a container: a pod's own go over `told`, these over the image's."""
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if config.tty:
        variables["TERM"] = "xterm"
    variables.update(image.env)
    variables.update(told)
    variables.update(config.env)
    variables.setdefault("HOME", user.home)
    return variables


def stop_signal(text: str) -> int:
    """The number of a signal by its name or number; SIGTERM's for "". Raises InvalidConfig."""
    name = text.upper()
    if name.isdigit() and 0 < int(name) < signal.NSIG:
        return int(name)
    name = name if name.startswith("SIG") else f"SIG{name or 'TERM'}"
    base, _, more = name.partition("+")
    if base in signal.Signals.__members__ and (not more or more.isdigit()):
        return int(signal.Signals[base]) + int(more or 0)
    raise InvalidConfig(f"unknown signal {text!r}")
