"""Which pods nobody else will ever clear away."""

from __future__ import annotations

from typing import Any

from hyperkube_controller_manager.spentpods import has_ended, in_excess, orphans, out_of_service, unscheduled
from hyperkube_machinery import meta


def pod(name: str, *, phase: str = "Running", created: int = 0, node: str = "", deleted: bool = False) -> Any:
    metadata = {"name": name, "creationTimestamp": f"2026-01-01T00:00:{created:02}Z"}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T01:00:00Z"
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase}}


def node(ready: str, *taints: str) -> Any:
    conditions = [{"type": "Ready", "status": ready}]
    return {"spec": {"taints": [{"key": key} for key in taints]}, "status": {"conditions": conditions}}


def names(pods: Any) -> list[str]:
    return [meta.name(one) for one in pods]


def test_the_oldest_of_too_many_ended_pods_go_after_those_that_were_evicted() -> None:
    evicted = pod("evicted", phase="Failed", created=50)
    evicted["status"]["reason"] = "Evicted"
    pods = [
        pod("young", phase="Succeeded", created=9),
        pod("b", phase="Failed", created=1),
        pod("a", phase="Succeeded", created=1),
        pod("running", created=0),
        pod("pending", phase="Pending"),
        evicted,
    ]
    ended = [one for one in pods if has_ended(one)]
    assert names(ended) == ["young", "b", "a", "evicted"]
    assert names(in_excess(ended, 2)) == ["evicted", "a"]
    assert names(in_excess(ended, 4)) == []
    assert names(in_excess(ended, 0)) == []  # means any number


def test_pods_of_nodes_that_are_gone_are_orphans() -> None:
    pods = [pod("here", node="n1"), pod("gone", node="n2"), pod("nowhere")]
    assert names(orphans(pods, {"n1"})) == ["gone"]


def test_pods_that_no_node_had_are_deleted_at_once() -> None:
    pods = [pod("waiting"), pod("leaving", deleted=True), pod("placed", node="n1", deleted=True)]
    assert names(unscheduled(pods)) == ["leaving"]


def test_pods_are_given_up_on_nodes_out_of_service() -> None:
    key = "node.kubernetes.io/out-of-service"
    nodes = {"dead": node("Unknown", key), "silent": node("Unknown"), "alive": node("True", key)}
    pods = [pod(name, node=name, deleted=True) for name in (*nodes, "unknown")] + [pod("stays", node="dead")]
    assert names(out_of_service(pods, nodes)) == ["dead"]
