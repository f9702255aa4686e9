"""What /stats/summary answers. Pure. Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1, pkg/kubelet/server/stats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from hyperkube_kubelet.runtime.values import InterfaceUsage
from hyperkube_kubelet.stats.figures import ContainerFigures, Filesystem, NodeFigures, PodFigures, Pressure, Usage
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["summary"]

Tree = dict[str, Any]


def summary(figures: NodeFigures, *, only_cpu_and_memory: bool = False) -> Tree:
    """The tree that a client decodes as a Summary."""
    short = only_cpu_and_memory
    node: Tree = {
        "nodeName": figures.name,
        "systemContainers": [
            _system("kubelet", figures.kubelet, figures.kubelet_started_at),
            _system("pods", figures.all_pods, figures.booted_at),
        ],
        "startTime": _time(figures.booted_at),
        **_used(figures.usage, short=short),
    }
    if not short:
        node |= _network(figures.interfaces, figures.at)
        node |= {"fs": _filesystem(figures.nodefs)} if figures.nodefs is not None else {}
        runtime = {"imageFs": figures.imagefs, "containerFs": figures.containerfs}
        node["runtime"] = {name: _filesystem(one) for name, one in runtime.items() if one is not None}
        node["rlimit"] = _told(time=_time(figures.at), maxpid=figures.max_processes, curproc=figures.processes)
    return {"node": node, "pods": [_pod(pod, short=short) for pod in figures.pods]}


def _pod(pod: PodFigures, *, short: bool) -> Tree:
    shown: Tree = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": _time(pod.created_at),
        "containers": [_container(container, short=short) for container in pod.containers],
        **_used(pod.usage, short=short),
    }
    if short:
        return shown
    shown |= _network(pod.interfaces, pod.usage.at)
    if pod.volumes:
        shown["volume"] = [
            {
                **_filesystem(volume.filesystem),
                "name": volume.name,
                **({"pvcRef": {"name": volume.claim, "namespace": pod.namespace}} if volume.claim else {}),
            }
            for volume in pod.volumes
        ]
    if pod.ephemeral is not None:
        shown["ephemeral-storage"] = _filesystem(pod.ephemeral)
    if pod.usage.processes is not None:
        shown["process_stats"] = {"process_count": pod.usage.processes}
    return shown


def _container(container: ContainerFigures, *, short: bool) -> Tree:
    shown: Tree = {
        "name": container.name,
        "startTime": _time(container.created_at),
        **_used(container.usage, short=short),
    }
    if not short:
        parts = {"rootfs": container.rootfs, "logs": container.logs}
        shown |= {name: _filesystem(one) for name, one in parts.items() if one is not None}
    return shown


def _system(name: str, usage: Usage, started_at: float) -> Tree:
    return {"name": name, "startTime": _time(started_at), **_used(usage, short=False)}


def _used(usage: Usage, *, short: bool) -> Tree:
    at = _time(usage.at)
    pressures = {name: _pressure(*pair) for name, pair in usage.pressure.items()}
    shown: Tree = {
        "cpu": _told(
            time=at,
            usageNanoCores=usage.cpu_nanocores,
            usageCoreNanoSeconds=usage.cpu_nanoseconds,
            psi=pressures.get("cpu"),
        ),
        "memory": _told(
            time=at,
            availableBytes=usage.available_bytes,
            usageBytes=usage.memory_bytes,
            workingSetBytes=usage.working_set_bytes,
            rssBytes=usage.rss_bytes,
            pageFaults=usage.page_faults,
            majorPageFaults=usage.major_page_faults,
            psi=pressures.get("memory"),
        ),
    }
    if usage.swap_bytes is not None:
        shown["swap"] = _told(time=at, swapAvailableBytes=usage.swap_available_bytes, swapUsageBytes=usage.swap_bytes)
    if "io" in pressures and not short:
        shown["io"] = {"time": at, "psi": pressures["io"]}
    return shown


def _pressure(some: Pressure, full: Pressure) -> Tree:
    return {
        kind: {"total": one.total, "avg10": one.avg10, "avg60": one.avg60, "avg300": one.avg300}
        for kind, one in (("full", full), ("some", some))
    }


def _network(interfaces: Sequence[InterfaceUsage], at: float) -> Tree:
    """The first interface is also that of the whole, if it is the one that pods are known to have."""
    if not interfaces:
        return {}
    shown = [
        {
            "name": one.name,
            "rxBytes": one.received_bytes,
            "rxErrors": one.receive_errors,
            "txBytes": one.sent_bytes,
            "txErrors": one.send_errors,
        }
        for one in interfaces
    ]
    return {"network": {"time": _time(at), **shown[0], "interfaces": shown}}


def _filesystem(one: Filesystem) -> Tree:
    return _told(
        time=_time(one.at),
        availableBytes=one.available_bytes,
        capacityBytes=one.capacity_bytes,
        usedBytes=one.used_bytes,
        inodesFree=one.inodes_free,
        inodes=one.inodes,
        inodesUsed=one.inodes_used,
    )


def _told(**values: object) -> Tree:
    return {name: value for name, value in values.items() if value is not None}


@lru_cache(maxsize=512)
def _time(seconds: float) -> str | None:
    """Most of what is told at one time was measured at a few."""
    return format_seconds(seconds) if seconds > 0 else None
