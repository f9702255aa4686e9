"""The series of containers, and what of their figures each shows. Pure.

Source: github.com/google/cadvisor/metrics/prometheus.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hyperkube_kubelet.runtime.values import InterfaceUsage
from hyperkube_kubelet.stats.figures import Filesystem, Usage
from hyperkube_kubelet.stats.groups import Details
from hyperkube_machinery.serving.metrics import Kind

__all__ = ["FILESYSTEM", "NETWORK", "SERIES", "TRANSFERS", "Read", "Subject"]

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a series is of."""

    labels: str
    usage: Usage
    details: Details | None = None
    started_at: float = 0.0
    filesystem: Filesystem | None = None
    device: str = ""
    interfaces: Sequence[InterfaceUsage] = field(default=())


Read = Callable[[Subject], float | None]


def _of(name: str, factor: float = 1) -> Read:
    """A field of the usage, or else of the details."""

    def read(subject: Subject) -> float | None:
        value = getattr(subject.usage, name, None)
        if value is None and subject.details is not None:
            value = getattr(subject.details, name, None)
        return value / factor if value is not None and factor != 1 else value

    return read


def _limited(name: str, factor: float = 1) -> Read:
    """What is told of groups alone that have a quota."""
    read = _of(name, factor)
    return lambda subject: read(subject) if subject.details is not None and subject.details.quota else None


def _or_zero(name: str) -> Read:
    """0 for what has no limit."""
    return lambda subject: (getattr(subject.details, name) or 0) if subject.details is not None else None


SERIES: tuple[tuple[str, Kind, str, Read], ...] = (
    (
        "container_cpu_cfs_periods_total",
        "counter",
        "Number of elapsed enforcement period intervals.",
        _limited("periods"),
    ),
    (
        "container_cpu_cfs_throttled_periods_total",
        "counter",
        "Number of throttled period intervals.",
        _limited("throttled_periods"),
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        "counter",
        "Total time duration the container has been throttled.",
        _limited("throttled_nanoseconds", _SECOND),
    ),
    (
        "container_cpu_system_seconds_total",
        "counter",
        "Cumulative system cpu time consumed in seconds.",
        _of("system_nanoseconds", _SECOND),
    ),
    (
        "container_cpu_user_seconds_total",
        "counter",
        "Cumulative user cpu time consumed in seconds.",
        _of("user_nanoseconds", _SECOND),
    ),
    ("container_memory_cache", "gauge", "Number of bytes of page cache memory.", _of("cache_bytes")),
    ("container_memory_failcnt", "counter", "Number of memory usage hits limits", _of("failures")),
    ("container_memory_mapped_file", "gauge", "Size of memory mapped files in bytes.", _of("mapped_bytes")),
    ("container_memory_max_usage_bytes", "gauge", "Maximum memory usage recorded in bytes", _of("highest_bytes")),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", _of("rss_bytes")),
    ("container_memory_swap", "gauge", "Container swap usage in bytes.", _of("swap_bytes")),
    (
        "container_memory_total_active_file_bytes",
        "gauge",
        "Current total active file in bytes.",
        _of("active_file_bytes"),
    ),
    (
        "container_memory_total_inactive_file_bytes",
        "gauge",
        "Current total inactive file in bytes.",
        _of("inactive_file_bytes"),
    ),
    (
        "container_memory_usage_bytes",
        "gauge",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        _of("memory_bytes"),
    ),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", _of("working_set_bytes")),
    ("container_oom_events_total", "counter", "Count of out of memory events observed for the container", _of("kills")),
    ("container_processes", "gauge", "Number of processes running inside the container.", _of("processes")),
    ("container_spec_cpu_period", "gauge", "CPU period of the container.", _of("period")),
    ("container_spec_cpu_quota", "gauge", "CPU quota of the container.", _of("quota")),
    ("container_spec_cpu_shares", "gauge", "CPU share of the container.", _of("shares")),
    ("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.", _or_zero("memory_limit")),
    (
        "container_spec_memory_reservation_limit_bytes",
        "gauge",
        "Memory reservation limit for the container.",
        _or_zero("reservation"),
    ),
    ("container_spec_memory_swap_limit_bytes", "gauge", "Memory swap limit for the container.", _or_zero("swap_limit")),
    ("container_threads", "gauge", "Number of threads running inside the container", _of("threads")),
    (
        "container_threads_max",
        "gauge",
        "Maximum number of threads allowed inside the container, infinity if value is zero",
        _or_zero("most_threads"),
    ),
)

NETWORK: tuple[tuple[str, str, str], ...] = (
    ("receive_bytes_total", "Cumulative count of bytes received", "received_bytes"),
    ("receive_errors_total", "Cumulative count of errors encountered while receiving", "receive_errors"),
    ("receive_packets_dropped_total", "Cumulative count of packets dropped while receiving", "receive_dropped"),
    ("receive_packets_total", "Cumulative count of packets received", "received_packets"),
    ("transmit_bytes_total", "Cumulative count of bytes transmitted", "sent_bytes"),
    ("transmit_errors_total", "Cumulative count of errors encountered while transmitting", "send_errors"),
    ("transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting", "send_dropped"),
    ("transmit_packets_total", "Cumulative count of packets transmitted", "sent_packets"),
)

TRANSFERS: tuple[tuple[str, str, str], ...] = (
    ("container_fs_reads_bytes_total", "Cumulative count of bytes read", "read_bytes"),
    ("container_fs_reads_total", "Cumulative count of reads completed", "reads"),
    ("container_fs_writes_bytes_total", "Cumulative count of bytes written", "written_bytes"),
    ("container_fs_writes_total", "Cumulative count of writes completed", "writes"),
)

FILESYSTEM: tuple[tuple[str, str, str], ...] = (
    ("container_fs_inodes_free", "Number of available Inodes", "inodes_free"),
    ("container_fs_inodes_total", "Number of Inodes", "inodes"),
    (
        "container_fs_limit_bytes",
        "Number of bytes that can be consumed by the container on this filesystem.",
        "capacity_bytes",
    ),
    (
        "container_fs_usage_bytes",
        "Number of bytes that are consumed by the container on this filesystem.",
        "used_bytes",
    ),
)
