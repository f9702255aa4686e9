"""What /metrics/cadvisor answers: the series of containers that dashboards have been made for. Pure.

A series is of a control group: the machine's root, those that hold pods of a class, a pod's, a container's, or a
sandbox's, which has the pod's network.
Source: github.com/google/cadvisor/metrics (prometheus.go, prometheus_machine.go), containerPrometheusLabelsFunc in
k8s.io/kubernetes/pkg/kubelet/server/server.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hyperkube_kubelet.stats.figures import NodeFigures, PodFigures, Usage
from hyperkube_kubelet.stats.groups import Details
from hyperkube_kubelet.stats.series import FILESYSTEM, NETWORK, SERIES, TRANSFERS, Read, Subject
from hyperkube_kubelet.stats.text import Family, Line
from hyperkube_machinery.serving.metrics import Kind, label_text

__all__ = ["Facts", "cadvisor_families", "groups_of"]

_LABELS = ("container", "id", "image", "name", "namespace", "pod")
_SECOND = 1_000_000_000
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What doesn't change of a machine."""

    cpus: int
    memory_bytes: int
    swap_bytes: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel_version: str
    os_image: str


def groups_of(figures: NodeFigures, top: str) -> list[str]:
    """The control groups that are told of."""
    found = ["/", top]
    for pod in figures.pods:
        found += [pod.group, pod.sandbox_group, *(container.group for container in pod.containers)]
    return [group for group in found if group]


def cadvisor_families(
    figures: NodeFigures,
    facts: Facts,
    top: str,
    details: Mapping[str, Details],
    usages: Mapping[str, Usage],
    device: str,
    devices: Mapping[str, str] | None = None,
) -> Iterator[Family]:
    """All series of a node.

    `top`: the group that all pods' are in; `usages`: of groups that are no pod's or container's; `device`: where
    containers write; `devices`: what numbers such as 253:0 are called.
    """
    devices = devices or {}
    subjects = list(_subjects(figures, top, details, usages, device, facts.memory_bytes))
    yield _family(
        "container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", _cpu(subjects)
    )
    for name, kind, text, read in SERIES:
        yield _family(name, kind, text, _lines(subjects, read))
    yield _family(
        "container_memory_failures_total",
        "counter",
        "Cumulative count of memory allocation failures.",
        _faults(subjects),
    )
    for name, text, attribute in FILESYSTEM:
        yield _family(name, "gauge", text, _of_filesystems(subjects, attribute))
    for name, text, attribute in TRANSFERS:
        yield _family(name, "counter", text, _of_transfers(subjects, attribute, devices))
    for name, text, attribute in NETWORK:
        yield _family(f"container_network_{name}", "counter", text, _of_networks(subjects, attribute))
    for resource, what in (("cpu", "CPU"), ("memory", "memory"), ("io", "IO")):
        for index, word, how in (
            (1, "stalled", "no tasks in the container could make progress"),
            (0, "waiting", "tasks in the container have waited"),
        ):
            text = f"Total time duration {how} due to {what} congestion."
            name = f"container_pressure_{resource}_{word}_seconds_total"
            yield _family(name, "counter", text, _pressed(subjects, resource, index))
    text = "Start time of the container since unix epoch in seconds."
    started = [(one.labels, round(one.started_at), 0.0) for one in subjects if one.started_at]
    yield _family("container_start_time_seconds", "gauge", text, started)
    seen = [(one.labels, round(one.usage.at), one.usage.at) for one in subjects if one.usage.at]
    yield _family("container_last_seen", "gauge", "Last time a container was seen by the exporter", seen)
    yield _family(
        "container_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
        [("", 0, 0.0)],
    )
    text = "1 if there was an error while getting machine metrics, 0 otherwise."
    yield _family("machine_scrape_error", "gauge", text, [("", 0, 0.0)])
    yield from _machine(facts)


def _family(name: str, kind: Kind, text: str, lines: Iterable[Line]) -> Family:
    return Family(name, kind, text, lines)


def _subjects(
    figures: NodeFigures,
    top: str,
    details: Mapping[str, Details],
    usages: Mapping[str, Usage],
    device: str,
    memory_bytes: int,
) -> Iterator[Subject]:
    yield Subject(
        labels=_labelled(id="/"),
        usage=figures.usage,
        details=replace(details.get("/", Details()), memory_limit=memory_bytes),
        started_at=figures.booted_at,
        filesystem=figures.nodefs,
        device=device,
        interfaces=figures.interfaces,
    )
    if (usage := usages.get(top)) is not None:
        yield Subject(labels=_labelled(id=top), usage=usage, details=details.get(top))
    for pod in figures.pods:
        yield from _of_pod(pod, details, usages, device)


def _of_pod(
    pod: PodFigures, details: Mapping[str, Details], usages: Mapping[str, Usage], device: str
) -> Iterator[Subject]:
    own = pod.group or f"/pod{pod.uid}"
    whose = {"namespace": pod.namespace, "pod": pod.name}
    yield Subject(
        labels=_labelled(id=own, **whose),
        usage=pod.usage,
        details=details.get(pod.group),
        started_at=pod.created_at,
    )
    sandbox = pod.sandbox_group or f"{own}/{pod.sandbox_id}"
    yield Subject(
        labels=_labelled(id=sandbox, name=pod.sandbox_id, **whose),
        usage=usages.get(pod.sandbox_group, Usage(at=pod.usage.at)),
        details=details.get(pod.sandbox_group),
        started_at=pod.created_at,
        interfaces=pod.interfaces,
    )
    for container in pod.containers:
        yield Subject(
            labels=_labelled(
                id=container.group or f"{own}/{container.id}",
                name=container.id,
                image=container.image,
                container=container.name,
                **whose,
            ),
            usage=container.usage,
            details=details.get(container.group),
            started_at=container.created_at,
            filesystem=container.rootfs,
            device=device,
        )


def _labelled(**labels: str) -> str:
    return label_text(_LABELS, [labels.get(name, "") for name in _LABELS])


def _cpu(subjects: Sequence[Subject]) -> Iterator[Line]:
    for one in subjects:
        if one.usage.cpu_nanoseconds is not None:
            yield f'{one.labels},cpu="total"', one.usage.cpu_nanoseconds / _SECOND, one.usage.at


def _lines(subjects: Sequence[Subject], read: Read) -> Iterator[Line]:
    for one in subjects:
        if (value := read(one)) is not None:
            yield one.labels, value, one.usage.at


def _faults(subjects: Sequence[Subject]) -> Iterator[Line]:
    for one in subjects:
        for kind, value in (("pgfault", one.usage.page_faults), ("pgmajfault", one.usage.major_page_faults)):
            if value is not None:
                yield f'{one.labels},failure_type="{kind}",scope="hierarchy"', value, one.usage.at


def _of_filesystems(subjects: Sequence[Subject], attribute: str) -> Iterator[Line]:
    for one in subjects:
        if one.filesystem is not None and (value := getattr(one.filesystem, attribute)) is not None:
            yield f"{one.labels},{label_text(('device',), (one.device,))}", value, one.filesystem.at


def _of_transfers(subjects: Sequence[Subject], attribute: str, devices: Mapping[str, str]) -> Iterator[Line]:
    for one in subjects:
        for each in one.details.transfers if one.details is not None else ():
            labels = label_text(("device",), (devices.get(each.device, each.device),))
            yield f"{one.labels},{labels}", getattr(each, attribute), one.usage.at


def _of_networks(subjects: Sequence[Subject], attribute: str) -> Iterator[Line]:
    for one in subjects:
        for interface in one.interfaces:
            if (value := getattr(interface, attribute, None)) is not None:
                yield f"{one.labels},{label_text(('interface',), (interface.name,))}", value, one.usage.at


def _pressed(subjects: Sequence[Subject], resource: str, index: int) -> Iterator[Line]:
    for one in subjects:
        if (pair := one.usage.pressure.get(resource)) is not None:
            yield one.labels, pair[index].total / _MICROSECONDS, one.usage.at


def _machine(facts: Facts) -> Iterator[Family]:
    labels = label_text(("boot_id", "machine_id", "system_uuid"), (facts.boot_id, facts.machine_id, facts.system_uuid))
    for name, text, value in (
        ("machine_cpu_cores", "Number of logical CPU cores.", facts.cpus),
        ("machine_memory_bytes", "Amount of memory installed on the machine.", facts.memory_bytes),
        ("machine_swap_bytes", "Amount of swap memory available on the machine.", facts.swap_bytes),
    ):
        yield Family(name, "gauge", text, [(labels, value, 0.0)])
    text = "A metric with a constant '1' value labeled by kernel version, OS version and docker version."
    versions = label_text(("kernelVersion", "osVersion"), (facts.kernel_version, facts.os_image))
    yield Family("cadvisor_version_info", "gauge", text, [(versions, 1, 0.0)])
