"""Figures of nodes and pods, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hyperkube_kubelet.stats.figures import (
    ContainerFigures,
    Filesystem,
    NodeFigures,
    PodFigures,
    Usage,
    VolumeFigures,
)

MI = 1 << 20
GI = 1 << 30


def disk(
    used: int | None = None, *, inodes: int | None = None, free: int = 100 * GI, inodes_free: int = 1000
) -> Filesystem:
    return Filesystem(
        at=1.0,
        available_bytes=free,
        capacity_bytes=100 * GI,
        used_bytes=used,
        inodes=1000,
        inodes_free=inodes_free,
        inodes_used=inodes,
    )


def container_figures(name: str = "main", *, memory: int = 0, root: int = 0, logs: int = 0) -> ContainerFigures:
    return ContainerFigures(
        name=name,
        id=f"id-{name}",
        image="image:1",
        created_at=1.0,
        usage=Usage(at=1.0, working_set_bytes=memory),
        rootfs=disk(root, inodes=1),
        logs=disk(logs, inodes=1),
    )


def pod_figures(
    uid: str = "uid-1",
    *containers: ContainerFigures,
    memory: int = 0,
    processes: int | None = None,
    volumes: dict[str, int] | None = None,
    ephemeral: int | None = None,
    local: bool = True,
) -> PodFigures:
    return PodFigures(
        namespace="default",
        name=uid,
        uid=uid,
        created_at=1.0,
        usage=Usage(at=1.0, working_set_bytes=memory, processes=processes),
        containers=containers,
        volumes=tuple(
            VolumeFigures(name=name, filesystem=disk(used, inodes=5), local=local)
            for name, used in (volumes or {}).items()
        ),
        ephemeral=disk(ephemeral) if ephemeral is not None else None,
    )


def node_figures(
    *pods: PodFigures, at: float = 1.0, memory_free: int = 4 * GI, disk_free: int = 50 * GI, **fields: Any
) -> NodeFigures:
    nodefs = replace(fields.pop("nodefs", disk(free=disk_free)), at=at)
    return NodeFigures(
        at=at,
        name="n",
        booted_at=0.5,
        usage=Usage(at=at, working_set_bytes=8 * GI - memory_free, available_bytes=memory_free),
        nodefs=nodefs,
        imagefs=fields.pop("imagefs", nodefs),
        containerfs=fields.pop("containerfs", nodefs),
        max_processes=fields.pop("max_processes", 1000),
        processes=fields.pop("processes", 100),
        pods=pods,
        **fields,
    )
