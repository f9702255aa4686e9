"""What a container runtime answers: CRI's messages, as the kubelet's values. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from hyperkube_kubelet.runtime.values import (
    Container,
    ContainerConfig,
    ContainerState,
    FilesystemUsage,
    Image,
    Mount,
    RuntimeCondition,
    RuntimeFeatures,
    RuntimeHandler,
    RuntimeStatus,
    Sandbox,
    SandboxConfig,
    SandboxState,
)

__all__ = [
    "container_state",
    "listed_container",
    "number",
    "read_container",
    "read_image",
    "read_sandbox",
    "read_status",
    "read_usage",
    "sandbox_image",
]

Tree = Mapping[str, Any]

_STATES = (ContainerState.CREATED, ContainerState.RUNNING, ContainerState.EXITED)
_PROPAGATION: tuple[Literal["None", "HostToContainer", "Bidirectional"], ...] = (
    "None",
    "HostToContainer",
    "Bidirectional",
)
_NODE = 2
_NANO = 1_000_000_000


def read_sandbox(message: Tree) -> Sandbox:
    """A PodSandboxStatus, or a PodSandbox of a list, which lacks addresses and namespaces."""
    metadata = message["metadata"] or {}
    linux = message.get("linux") or {}
    namespaces: Tree = (linux.get("namespaces") or {}).get("options") or {}
    in_host_network = namespaces.get("network") == _NODE
    config = SandboxConfig(
        name=metadata.get("name", ""),
        namespace=metadata.get("namespace", ""),
        uid=metadata.get("uid", ""),
        attempt=metadata.get("attempt", 0),
        labels=message["labels"],
        annotations=message["annotations"],
        host_network=in_host_network,
        host_pid=namespaces.get("pid") == _NODE,
        host_ipc=namespaces.get("ipc") == _NODE,
        runtime_handler=message["runtime_handler"],
    )
    network: Tree = message.get("network") or {}
    ips = [network.get("ip", ""), *(one["ip"] for one in network.get("additional_ips", ()))]
    return Sandbox(
        id=message["id"],
        config=config,
        state=SandboxState.NOT_READY if message["state"] else SandboxState.READY,
        created_at=message["created_at"] / _NANO,
        ips=() if in_host_network else tuple(ip for ip in ips if ip),
        runtime_handler=message["runtime_handler"],
    )


def container_state(number: int) -> ContainerState:
    return _STATES[number] if number < len(_STATES) else ContainerState.UNKNOWN


def read_container(message: Tree, sandbox_id: str) -> Container:
    """A ContainerStatus, of a container in that sandbox."""
    image: Tree = message["image"] or {}
    user = (message["user"] or {}).get("linux")
    metadata = message["metadata"] or {}
    config = ContainerConfig(
        name=metadata.get("name", ""),
        attempt=metadata.get("attempt", 0),
        image=image.get("user_specified_image") or image.get("image", ""),
        mounts=tuple(_mount(mount) for mount in message["mounts"]),
        labels=message["labels"],
        annotations=message["annotations"],
    )
    log_path = message["log_path"]
    return Container(
        id=message["id"],
        sandbox_id=sandbox_id,
        config=config,
        image_id=message["image_id"] or message["image_ref"],
        image_ref=message["image_ref"],
        state=container_state(message["state"]),
        created_at=message["created_at"] / _NANO,
        started_at=message["started_at"] / _NANO,
        finished_at=message["finished_at"] / _NANO,
        exit_code=message["exit_code"],
        reason=message["reason"],
        message=message["message"],
        user=(user["uid"], user["gid"], tuple(user["supplemental_groups"])) if user is not None else None,
        log_path=Path(log_path) if log_path else None,
    )


def listed_container(message: Tree) -> Container:
    """A Container of a list, which lacks when it was started and how it ended."""
    image: Tree = message["image"] or {}
    metadata = message["metadata"] or {}
    return Container(
        id=message["id"],
        sandbox_id=message["pod_sandbox_id"],
        config=ContainerConfig(
            name=metadata.get("name", ""),
            attempt=metadata.get("attempt", 0),
            image=image.get("user_specified_image") or image.get("image", ""),
            labels=message["labels"],
            annotations=message["annotations"],
        ),
        image_id=message["image_id"] or message["image_ref"],
        image_ref=message["image_ref"],
        state=container_state(message["state"]),
        created_at=message["created_at"] / _NANO,
    )


def _mount(message: Tree) -> Mount:
    image: Tree = message["image"] or {}
    propagation = message["propagation"]
    return Mount(
        container_path=message["container_path"],
        host_path=Path(message["host_path"]),
        readonly=message["readonly"],
        recursive_readonly=message["recursive_read_only"],
        propagation=_PROPAGATION[propagation] if propagation < len(_PROPAGATION) else "None",
        selinux_relabel=message["selinux_relabel"],
        image=image.get("image", ""),
        image_sub_path=message["image_sub_path"],
    )


def read_image(message: Tree) -> Image:
    """An Image; of what its configuration says CRI tells the user alone."""
    uid = message["uid"]
    return Image(
        id=message["id"],
        tags=tuple(message["repo_tags"]),
        digests=tuple(message["repo_digests"]),
        size=message["size"],
        user=str(uid["value"]) if uid is not None else message["username"],
        pinned=message["pinned"],
    )


def sandbox_image(told: Mapping[str, str]) -> str:
    """The image that sandboxes are made of, by what containerd and CRI-O tell of their configuration; or ""."""
    for text in told.values():
        with suppress(ValueError):
            found = json.loads(text)
            if isinstance(found, dict) and (name := found.get("sandboxImage") or found.get("sandbox_image")):
                return str(name)
    return ""


def read_status(message: Tree, version: Tree, cgroup_driver: Literal["", "cgroupfs", "systemd"] = "") -> RuntimeStatus:
    """A StatusResponse, with the VersionResponse of the same runtime."""
    conditions = tuple(
        RuntimeCondition(type=one["type"], status=one["status"], reason=one["reason"], message=one["message"])
        for one in (message["status"] or {"conditions": ()})["conditions"]
    )
    ready = _condition(conditions, "RuntimeReady")
    network = _condition(conditions, "NetworkReady")
    features = message["features"]
    return RuntimeStatus(
        name=version["runtime_name"],
        version=version["runtime_version"],
        ready=ready.status,
        ready_reason=ready.reason,
        ready_message=ready.message,
        network_ready=network.status,
        network_reason=network.reason,
        network_message=network.message,
        conditions=conditions,
        handlers=tuple(_handler(one) for one in message["runtime_handlers"]),
        features=RuntimeFeatures(**features) if features is not None else None,
        cgroup_driver=cgroup_driver,
    )


def _condition(conditions: Iterable[RuntimeCondition], kind: str) -> RuntimeCondition:
    return next((one for one in conditions if one.type == kind), RuntimeCondition(type=kind, status=False))


def _handler(message: Tree) -> RuntimeHandler:
    features = message["features"] or {}
    return RuntimeHandler(
        name=message["name"],
        recursive_readonly_mounts=bool(features.get("recursive_read_only_mounts")),
        user_namespaces=bool(features.get("user_namespaces")),
    )


def read_usage(messages: Iterable[Tree]) -> FilesystemUsage:
    """What several FilesystemUsages come to, in the place of the first."""
    found = [
        FilesystemUsage(
            Path((one["fs_id"] or {"mountpoint": "/"})["mountpoint"]),
            number(one["used_bytes"]) or 0,
            number(one["inodes_used"]) or 0,
        )
        for one in messages
    ]
    if not found:
        return FilesystemUsage(Path("/"), 0, 0)
    return FilesystemUsage(found[0].path, sum(one.used_bytes for one in found), sum(one.inodes_used for one in found))


def number(boxed: Tree | None) -> int | None:
    """What a UInt64Value holds."""
    return None if boxed is None else int(boxed["value"])
