"""What a container runtime measures: CRI's messages, as the kubelet's values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_kubelet.runtime.cri.answers import number
from hyperkube_kubelet.runtime.values import ContainerStats, InterfaceUsage, SandboxStats

__all__ = ["read_container_stats", "read_sandbox_stats"]

Tree = Mapping[str, Any]

_NANO = 1_000_000_000


def read_container_stats(message: Tree, now: float) -> ContainerStats:
    """ContainerStats, taken `now` where it doesn't tell."""
    cpu, memory = message["cpu"] or {}, message["memory"] or {}
    layer, swap = message["writable_layer"] or {}, message["swap"] or {}
    taken = cpu.get("timestamp") or memory.get("timestamp")
    return ContainerStats(
        container_id=(message["attributes"] or {"id": ""})["id"],
        at=taken / _NANO if taken else now,
        cpu_nanoseconds=number(cpu.get("usage_core_nano_seconds")) or 0,
        cpu_nanocores=number(cpu.get("usage_nano_cores")) or None,
        memory_bytes=number(memory.get("working_set_bytes")) or 0,
        rss_bytes=number(memory.get("rss_bytes")) or 0,
        usage_bytes=number(memory.get("usage_bytes")),
        available_bytes=number(memory.get("available_bytes")),
        page_faults=number(memory.get("page_faults")),
        major_page_faults=number(memory.get("major_page_faults")),
        processes=0,
        writable_bytes=number(layer.get("used_bytes")) or 0,
        writable_inodes=number(layer.get("inodes_used")),
        swap_bytes=number(swap.get("swap_usage_bytes")),
        swap_available_bytes=number(swap.get("swap_available_bytes")),
    )


def read_sandbox_stats(message: Tree, now: float) -> SandboxStats:
    """PodSandboxStats, taken `now` where it doesn't tell."""
    linux = message["linux"] or {}
    cpu, memory = linux.get("cpu") or {}, linux.get("memory") or {}
    network, processes = linux.get("network") or {}, linux.get("process") or {}
    first = network.get("default_interface")
    interfaces = [first] if first is not None else []
    interfaces += [one for one in network.get("interfaces", ()) if first is None or one["name"] != first["name"]]
    taken = cpu.get("timestamp") or memory.get("timestamp") or network.get("timestamp")
    return SandboxStats(
        sandbox_id=(message["attributes"] or {"id": ""})["id"],
        at=taken / _NANO if taken else now,
        cpu_nanoseconds=number(cpu.get("usage_core_nano_seconds")),
        memory_bytes=number(memory.get("working_set_bytes")),
        rss_bytes=number(memory.get("rss_bytes")),
        usage_bytes=number(memory.get("usage_bytes")),
        processes=number(processes.get("process_count")),
        interfaces=tuple(_interface(one) for one in interfaces),
    )


def _interface(message: Tree) -> InterfaceUsage:
    return InterfaceUsage(
        name=message["name"],
        received_bytes=number(message["rx_bytes"]) or 0,
        receive_errors=number(message["rx_errors"]) or 0,
        sent_bytes=number(message["tx_bytes"]) or 0,
        send_errors=number(message["tx_errors"]) or 0,
    )
