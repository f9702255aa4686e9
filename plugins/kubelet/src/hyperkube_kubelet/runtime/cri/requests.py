"""What the kubelet asks of a container runtime, as CRI's messages. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime (generatePodSandboxConfig, generateContainerConfig).
"""

from __future__ import annotations

import math
from typing import Any

from hyperkube_kubelet.runtime.cri.messages import SIGNALS
from hyperkube_kubelet.runtime.values import (
    ContainerConfig,
    Credentials,
    IDMapping,
    Limits,
    Mount,
    SandboxConfig,
    Security,
)

__all__ = ["auth_message", "container_message", "limits_message", "sandbox_message", "whole_seconds"]

Tree = dict[str, Any]

POD, CONTAINER, NODE, TARGET = range(4)
"""Whose a namespace is."""

_PROTOCOLS = {"TCP": 0, "UDP": 1, "SCTP": 2}
_PROPAGATION = {"None": 0, "HostToContainer": 1, "Bidirectional": 2}
_POLICIES = {"Merge": 0, "Strict": 1}
_RUNTIME_DEFAULT, _UNCONFINED, _LOCALHOST = range(3)


def sandbox_message(config: SandboxConfig) -> Tree:
    """A PodSandboxConfig."""
    message: Tree = {
        "metadata": {
            "name": config.name,
            "uid": config.uid,
            "namespace": config.namespace,
            "attempt": config.attempt,
        },
        "hostname": config.hostname,
        "log_directory": str(config.log_directory) if config.log_directory is not None else "",
        "labels": config.labels,
        "annotations": config.annotations,
        "port_mappings": [
            {
                "protocol": _PROTOCOLS[port.protocol],
                "container_port": port.container_port,
                "host_port": port.host_port,
                "host_ip": port.host_ip,
            }
            for port in config.ports
        ],
        "linux": {
            "cgroup_parent": config.cgroup_parent,
            "security_context": _sandbox_security(config),
            "sysctls": config.sysctls,
            "overhead": limits_message(config.overhead) if config.overhead is not None else None,
            "resources": limits_message(config.limits) if config.limits is not None else None,
        },
    }
    if config.dns is not None:
        dns = config.dns
        message["dns_config"] = {"servers": dns.servers, "searches": dns.searches, "options": dns.options}
    return message


def _sandbox_security(config: SandboxConfig) -> Tree:
    security = config.security
    return {
        "namespace_options": _namespaces(config),
        "selinux_options": _selinux(security),
        "run_as_user": _boxed(security.run_as_user),
        "run_as_group": _boxed(security.run_as_group),
        "readonly_rootfs": security.readonly_root,
        "supplemental_groups": security.supplemental_groups,
        "supplemental_groups_policy": _POLICIES[security.supplemental_groups_policy],
        "privileged": security.privileged,
        # What holds the namespaces open needs no more, whatever its pod's containers may do.
        "seccomp": {"profile_type": _RUNTIME_DEFAULT},
        "apparmor": _profile(security.apparmor) if security.apparmor else None,
    }


def _namespaces(config: SandboxConfig, target: str = "") -> Tree:
    processes = POD if config.share_processes else CONTAINER
    if config.host_pid:
        processes = NODE
    found: Tree = {
        "network": NODE if config.host_network else POD,
        "pid": TARGET if target else processes,
        "ipc": NODE if config.host_ipc else POD,
        "target_id": target,
    }
    if config.user_namespace:
        mappings = _mappings(config.user_namespace)
        found["userns_options"] = {"mode": POD, "uids": mappings, "gids": mappings}
    return found


def _mappings(mappings: tuple[IDMapping, ...]) -> list[Tree]:
    return [{"host_id": one.host_id, "container_id": one.container_id, "length": one.length} for one in mappings]


def container_message(config: ContainerConfig, pod: SandboxConfig) -> Tree:
    """A ContainerConfig, in a sandbox that was made from `pod`."""
    return {
        "metadata": {"name": config.name, "attempt": config.attempt},
        "image": {"image": config.image_id or config.image, "user_specified_image": config.image},
        "command": config.command,
        "args": config.args,
        "working_dir": config.working_dir,
        "envs": [{"key": name, "value": value.encode("utf-8", "surrogateescape")} for name, value in config.env],
        "mounts": [_mount(mount, pod) for mount in config.mounts],
        "devices": [
            {
                "container_path": device.container_path,
                "host_path": device.host_path,
                "permissions": device.permissions,
            }
            for device in config.devices
        ],
        "CDI_devices": [{"name": name} for name in config.cdi_devices],
        "labels": config.labels,
        "annotations": config.annotations,
        "log_path": config.log_path,
        "stdin": config.stdin,
        "stdin_once": config.stdin_once,
        "tty": config.tty,
        "linux": {
            "resources": limits_message(config.limits),
            "security_context": _container_security(config, pod),
        },
        "stop_signal": SIGNALS.index(config.stop_signal) + 1 if config.stop_signal in SIGNALS else 0,
    }


def _mount(mount: Mount, pod: SandboxConfig) -> Tree:
    found: Tree = {
        "container_path": mount.container_path,
        "readonly": mount.readonly,
        "recursive_read_only": mount.recursive_readonly,
        "propagation": _PROPAGATION[mount.propagation],
        "selinux_relabel": mount.selinux_relabel,
    }
    if mount.image:
        found["image"] = {"image": mount.image}
        found["image_sub_path"] = mount.image_sub_path
        return found
    if pod.user_namespace:  # files keep their owners, as the pod sees them
        found["uidMappings"] = found["gidMappings"] = _mappings(pod.user_namespace)
    return {**found, "host_path": str(mount.host_path)}


def _container_security(config: ContainerConfig, pod: SandboxConfig) -> Tree:
    security = config.security
    capabilities = {"add_capabilities": security.add_capabilities, "drop_capabilities": security.drop_capabilities}
    return {
        "capabilities": capabilities if any(capabilities.values()) else None,
        "privileged": security.privileged,
        "namespace_options": _namespaces(pod, config.processes_of),
        "selinux_options": _selinux(security),
        "run_as_user": _boxed(security.run_as_user),
        "run_as_group": _boxed(security.run_as_group),
        "run_as_username": security.run_as_username,
        "readonly_rootfs": security.readonly_root,
        "supplemental_groups": security.supplemental_groups,
        "supplemental_groups_policy": _POLICIES[security.supplemental_groups_policy],
        "no_new_privs": security.no_new_privileges,
        "masked_paths": security.masked_paths,
        "readonly_paths": security.readonly_paths,
        "seccomp": _profile(security.seccomp or "Unconfined"),
        "apparmor": _profile(security.apparmor) if security.apparmor else None,
        "apparmor_profile": _apparmor_text(security.apparmor),
    }


def _profile(name: str) -> Tree:
    kinds = {"RuntimeDefault": _RUNTIME_DEFAULT, "Unconfined": _UNCONFINED}
    if name in kinds:
        return {"profile_type": kinds[name]}
    return {"profile_type": _LOCALHOST, "localhost_ref": name}


def _apparmor_text(name: str) -> str:
    """As runtimes read it that know no profiles yet."""
    known = {"": "", "RuntimeDefault": "runtime/default", "Unconfined": "unconfined"}
    return known.get(name, f"localhost/{name}")


def _selinux(security: Security) -> Tree | None:
    label = security.selinux
    if label is None:
        return None
    return {"user": label.user, "role": label.role, "type": label.type, "level": label.level}


def limits_message(limits: Limits) -> Tree:
    """LinuxContainerResources."""
    return {
        "cpu_period": limits.cpu_period,
        "cpu_quota": limits.cpu_quota,
        "cpu_shares": limits.cpu_shares,
        "memory_limit_in_bytes": limits.memory_bytes,
        "memory_swap_limit_in_bytes": limits.memory_swap_bytes,
        "oom_score_adj": limits.oom_score_adj,
        "cpuset_cpus": limits.cpuset_cpus,
        "cpuset_mems": limits.cpuset_mems,
        "hugepage_limits": [{"page_size": size, "limit": limit} for size, limit in limits.hugepages.items()],
        "unified": limits.unified,
    }


def auth_message(credentials: Credentials | None) -> Tree | None:
    """An AuthConfig."""
    if credentials is None:
        return None
    return {
        "username": credentials.username,
        "password": credentials.password,
        "server_address": credentials.server,
        "identity_token": credentials.identity_token,
        "registry_token": credentials.registry_token,
    }


def _boxed(number: int | None) -> Tree | None:
    return None if number is None else {"value": number}


def whole_seconds(seconds: float) -> int:
    """Not less than what was asked for."""
    return math.ceil(seconds)
