"""Which pods a node takes."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_kubelet.admission import admit
from hyperkube_kubelet.podresources import pod_requests

from .builders import container, pod, sidecar

NODE: dict[str, Any] = {
    "metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux", "disk": "ssd"}},
    "spec": {},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "2", "ephemeral-storage": "10Gi"}},
}


def takes(name: str = "main", **requests: str) -> dict[str, Any]:
    return container(name, resources={"requests": {key.replace("_", "-"): value for key, value in requests.items()}})


def port(number: int) -> dict[str, Any]:
    return container(ports=[{"containerPort": number, "hostPort": number}])


def affinity(**term: Any) -> dict[str, Any]:
    terms = {"nodeSelectorTerms": [term]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


def expression(operator: str, *values: str) -> dict[str, Any]:
    return affinity(matchExpressions=[{"key": "disk", "operator": operator, "values": list(values)}])


BUSY = pod(takes(cpu="1500m"), uid="busy")
TAINTED = {**NODE, "spec": {"taints": [{"key": "k", "value": "v", "effect": "NoExecute"}]}}


@pytest.mark.parametrize(
    "made",
    [
        pod(),
        pod(takes(cpu="2", memory="1Gi")),
        pod(takes(**{"example.com/gpu": "1"})),
        pod(nodeSelector={"disk": "ssd"}),
        pod(**expression("In", "ssd", "nvme")),
        pod(**expression("Exists")),
        pod(**affinity(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["n"]}])),
        pod(nodeName="n"),
    ],
)
def test_what_fits_is_taken(made: dict[str, Any]) -> None:
    assert admit(made, NODE, []) is None


@pytest.mark.parametrize(
    ("made", "others", "reason", "message"),
    [
        (
            pod(takes(cpu="1")),
            [BUSY],
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000",
        ),
        (
            pod(takes(memory="2Gi")),
            [],
            "OutOfmemory",
            "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824",
        ),
        (
            pod(),
            [BUSY, BUSY],
            "OutOfpods",
            "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2",
        ),
        (
            pod(nodeSelector={"disk": "hdd"}),
            [],
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (pod(**expression("DoesNotExist")), [], "NodeAffinity", None),
        (pod(**affinity()), [], "NodeAffinity", None),
        (
            pod(port(80)),
            [pod(port(80), uid="other")],
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        ),
        (pod(os={"name": "windows"}), [], "PodOSNotSupported", None),
        (pod(meta_labels={"kubernetes.io/os": "windows"}), [], "PodOSSelectorNodeLabelDoesNotMatch", None),
        (pod(nodeName="m"), [], "NodeName", None),
    ],
)
def test_what_does_not_fit_is_refused_in_upstreams_words(
    made: dict[str, Any], others: list[dict[str, Any]], reason: str, message: str | None
) -> None:
    found = admit(made, NODE, others)
    assert found is not None
    assert found.reason == reason
    assert message is None or found.message == message


def test_a_taint_that_drives_pods_away_keeps_them_away() -> None:
    found = admit(pod(), TAINTED, [])
    assert found is not None
    assert found.message == "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
    for toleration in ({"operator": "Exists"}, {"key": "k", "operator": "Equal", "value": "v"}):
        assert admit(pod(tolerations=[toleration]), TAINTED, []) is None
    assert admit(pod(tolerations=[{"key": "k", "value": "w"}]), TAINTED, []) is not None
    assert admit(pod(meta_annotations={"kubernetes.io/config.source": "file"}), TAINTED, []) is None


@pytest.mark.parametrize(
    ("made", "milli"),
    [
        (pod(takes("a", cpu="1"), takes("b", cpu="200m")), 1200),
        (pod(takes(cpu="1"), initContainers=[takes("init", cpu="3")]), 3000),
        (
            pod(
                takes(cpu="1"),
                initContainers=[{**sidecar("log"), **takes("log", cpu="500m"), "restartPolicy": "Always"}],
            ),
            1500,
        ),
        (pod(takes(cpu="1"), overhead={"cpu": "100m"}), 1100),
        (pod(takes(cpu="1"), resources={"requests": {"cpu": "700m"}}), 700),
    ],
)
def test_what_a_pod_takes(made: dict[str, Any], milli: int) -> None:
    assert pod_requests(made)["cpu"].milli == milli
