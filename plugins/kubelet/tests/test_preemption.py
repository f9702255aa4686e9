"""Pods that make room for critical ones."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_kubelet.admission import Rejection, rejections
from hyperkube_kubelet.preemption import preempted

from .builders import container, pod

NODE = {
    "metadata": {"name": "n"},
    "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
}
CRITICAL: dict[str, Any] = {"priority": 2_000_000_000}


def asking(name: str, cpu: str = "0", memory: str = "0", quality: str = "Burstable", **fields: Any) -> dict[str, Any]:
    spec = container(resources={"requests": {"cpu": cpu, "memory": memory}})
    return pod(spec, name=name, uid=name, status={"qosClass": quality, "phase": "Running"}, **fields)


def chosen(wanted: dict[str, Any], *others: dict[str, Any]) -> list[str]:
    found = preempted(wanted, list(rejections(wanted, NODE, others)), others)
    assert not isinstance(found, Rejection), found
    return [one["metadata"]["name"] for one in found]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([asking("small", "1"), asking("large", "3")], ["large"]),
        ([asking("a", "2"), asking("b", "2")], ["a"]),
        ([asking("a", "1"), asking("b", "1"), asking("c", "2")], ["c"]),
        ([asking("g", "3", quality="Guaranteed"), asking("b", "1")], ["g"]),
        ([asking("g", "2", quality="Guaranteed"), asking("b", "2")], ["b"]),
        ([asking("heavy", "2", "2Gi"), asking("light", "2", "1Gi")], ["light"]),
    ],
)
def test_as_few_and_as_small_as_can_be(others: list[dict[str, Any]], expected: list[str]) -> None:
    assert chosen(asking("critical", "2", **CRITICAL), *others) == expected


def test_the_number_of_pods_may_be_what_is_short() -> None:
    others = [asking(f"p{number}", "100m" if number else "0", quality="BestEffort") for number in range(10)]
    assert chosen(asking("critical", **CRITICAL), *others) == ["p0"]


def test_a_critical_pod_does_not_make_room_for_another() -> None:
    others = [asking("other", "4", **CRITICAL)]
    wanted = asking("critical", "2", **CRITICAL)
    found = preempted(wanted, list(rejections(wanted, NODE, others)), others)
    assert isinstance(found, Rejection)
    assert found.reason == "UnexpectedAdmissionError"
    assert "no set of running pods found to reclaim resources: [(res: cpu, q: 2000), ]" in found.message


def test_what_no_room_would_help_against_is_told() -> None:
    others = [asking("other", "4")]
    wanted = asking("critical", "2", nodeSelector={"a": "b"}, **CRITICAL)
    found = preempted(wanted, list(rejections(wanted, NODE, others)), others)
    assert isinstance(found, Rejection)
    assert found.reason == "NodeAffinity"
