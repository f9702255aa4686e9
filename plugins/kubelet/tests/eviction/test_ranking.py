"""Which pod goes first, and who goes for its own limits."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_kubelet.eviction.localstorage import excess, is_limited
from hyperkube_kubelet.eviction.pressure import refusal
from hyperkube_kubelet.eviction.ranking import ranked
from hyperkube_kubelet.eviction.signals import Layout, Observation
from hyperkube_kubelet.eviction.words import why_evicted
from hyperkube_kubelet.thresholds import Amount, Signal, Threshold

from ..builders import container, pod
from .figures import GI, MI, container_figures, pod_figures

Tree = dict[str, Any]


def asking(uid: str, *, priority: int = 0, **requests: str) -> Tree:
    """A pod whose only container requests something."""
    amounts = {name.replace("_", "-"): amount for name, amount in requests.items()}
    return pod(container(resources={"requests": amounts}), uid=uid, name=uid, priority=priority)


def order(
    pods: list[Tree],
    figures: list[Any],
    signal: Signal = "memory.available",
    layout: Layout = Layout.ALL_TOGETHER,
) -> list[str]:
    found = ranked(pods, {one.uid: one for one in figures}, signal, layout)
    return [one["metadata"]["uid"] for one in found]


def test_who_is_over_its_memory_goes_before_others_whatever_its_priority() -> None:
    pods = [asking("modest", memory="1Gi"), asking("over", priority=1000, memory="100Mi")]
    assert order(pods, [pod_figures("modest", memory=900 * MI), pod_figures("over", memory=101 * MI)]) == [
        "over",
        "modest",
    ]


def test_of_those_over_their_memory_the_less_important_goes_first() -> None:
    pods = [asking("vital", priority=10), asking("lesser", priority=1)]
    assert order(pods, [pod_figures("vital", memory=2 * GI), pod_figures("lesser", memory=MI)]) == ["lesser", "vital"]


def test_of_the_same_priority_who_is_over_by_more_goes_first() -> None:
    pods = [asking("a", memory="1Gi"), asking("b", memory="2Gi"), asking("c")]
    figures = [pod_figures("a", memory=3 * GI), pod_figures("b", memory=3 * GI), pod_figures("c", memory=1 * GI)]
    assert order(pods, figures)[0] == "a"
    assert order(pods[1:], figures) in (["b", "c"], ["c", "b"])  # both over by one


def test_who_is_not_measured_goes_first() -> None:
    pods = [asking("known"), asking("unknown", priority=5)]
    assert order(pods, [pod_figures("known", memory=GI)]) == ["unknown", "known"]


def test_processes_count_by_priority_and_number() -> None:
    pods = [asking("many", priority=1), asking("few"), asking("some")]
    figures = [
        pod_figures("many", processes=500),
        pod_figures("few", processes=2),
        pod_figures("some", processes=20),
    ]
    assert order(pods, figures, "pid.available") == ["some", "few", "many"]


@pytest.mark.parametrize(
    ("signal", "layout", "first"),
    [
        ("nodefs.available", Layout.ALL_TOGETHER, "layer"),  # whoever takes most
        ("imagefs.available", Layout.IMAGES_APART, "layer"),
        ("nodefs.available", Layout.IMAGES_APART, "volume"),
        ("nodefs.inodesFree", Layout.IMAGES_APART, "volume"),
        ("nodefs.available", Layout.IMAGES_ALONE, "layer"),
    ],
)
def test_disk_counts_as_far_as_it_is_on_that_disk(signal: Signal, layout: Layout, first: str) -> None:
    pods = [
        pod(uid="layer", name="layer"),
        pod(uid="volume", name="volume", volumes=[{"name": "v", "emptyDir": {}}]),
    ]
    figures = [
        pod_figures("layer", container_figures(root=9 * GI)),
        pod_figures("volume", container_figures(logs=MI), volumes={"v": GI}),
    ]
    assert order(pods, figures, signal, layout)[0] == first


def test_a_volume_in_memory_takes_no_disk() -> None:
    in_memory = pod(uid="memory", name="memory", volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}])
    on_disk = pod(uid="disk", name="disk", volumes=[{"name": "v", "emptyDir": {}}])
    figures = [pod_figures("memory", volumes={"v": 9 * GI}), pod_figures("disk", volumes={"v": GI})]
    assert order([in_memory, on_disk], figures, "nodefs.available") == ["disk", "memory"]


def limited(name: str = "main", **limits: str) -> Tree:
    return container(name, resources={"limits": {key.replace("_", "-"): text for key, text in limits.items()}})


@pytest.mark.parametrize(
    ("given", "figures", "signal", "message"),
    [
        (
            pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]),
            pod_figures(volumes={"v": GI + 1}),
            "emptydirfs.limit",
            'Usage of EmptyDir volume "v" exceeds the limit "1Gi". ',
        ),
        (pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]), pod_figures(volumes={"v": GI}), "", ""),
        (pod(volumes=[{"name": "v", "emptyDir": {}}]), pod_figures(volumes={"v": GI}), "", ""),
        (
            pod(limited(ephemeral_storage="1Gi")),
            pod_figures("uid-1", container_figures(root=GI), ephemeral=GI + 1),
            "ephemeralpodfs.limit",
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
        ),
        (
            pod(limited("a", ephemeral_storage="1Mi"), limited("b", ephemeral_storage="1Gi")),
            pod_figures("uid-1", container_figures("a", root=MI, logs=1), ephemeral=2 * MI),
            "ephemeralcontainerfs.limit",
            'Container a exceeded its local ephemeral storage limit "1Mi". ',
        ),
        (pod(), pod_figures("uid-1", container_figures(root=GI), ephemeral=GI), "", ""),
    ],
)
def test_a_pod_over_its_own_limit_is_told_which(given: Tree, figures: Any, signal: str, message: str) -> None:
    found = excess(given, figures, layers_counted=True)
    assert ((found.signal, found.message) if found is not None else ("", "")) == (signal, message)
    assert is_limited(given) or not signal


def test_a_layer_on_the_disk_of_images_is_not_in_a_containers_limit() -> None:
    given = pod(limited(ephemeral_storage="1Mi"))
    figures = pod_figures("uid-1", container_figures(root=GI))
    assert excess(given, figures, layers_counted=True) is not None
    assert excess(given, figures, layers_counted=False) is None


def test_why_a_pod_was_evicted_is_told_as_upstream_does() -> None:
    given = pod(container("a", resources={"requests": {"memory": "64Mi"}}), container("b"))
    figures = pod_figures("uid-1", container_figures("a", memory=32 * MI), container_figures("b", memory=200 * MI))
    crossed = [Threshold(signal="memory.available", least=Amount(100 * MI))]
    message, annotations = why_evicted(
        given, figures, "memory", crossed, {"memory.available": Observation(90 * MI + 1024, GI, 1.0)}
    )
    assert message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 92161Ki. "
        "Container b was using 200Mi, request is 0, has larger consumption of memory. "
    )
    assert annotations == {
        "offending_containers": "b",
        "offending_containers_usage": "200Mi",
        "starved_resource": "memory",
    }


TOLERANT = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("given", "conditions", "taken"),
    [
        (pod(), set(), True),
        (pod(), {"MemoryPressure"}, False),
        (pod(tolerations=[TOLERANT]), {"MemoryPressure"}, True),
        (pod(container(resources={"requests": {"memory": "1Mi"}})), {"MemoryPressure"}, True),
        (pod(container(resources={"requests": {"memory": "1Mi"}})), {"DiskPressure"}, False),
        (pod(tolerations=[TOLERANT]), {"MemoryPressure", "DiskPressure"}, False),
        (pod(tolerations=[{"operator": "Exists"}]), {"PIDPressure"}, False),
        (pod(priority=2_000_000_000), {"DiskPressure"}, True),
        (pod(meta_annotations={"kubernetes.io/config.source": "file"}), {"DiskPressure"}, True),
    ],
)
def test_who_is_taken_under_pressure(given: Tree, conditions: set[str], taken: bool) -> None:
    found = refusal(given, conditions)
    assert (found is None) == taken
    if found is not None:
        assert found.reason == "Evicted"
        assert found.message == f"The node had condition: [{' '.join(sorted(conditions))}]. "
