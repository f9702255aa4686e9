"""The APIServices of custom resources."""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.aggregation.registration import missing_and_surplus
from hyperkube_apiserver.offering import Group, OfferedVersion

GROUPS = [
    Group("apps", (OfferedVersion("v1", ()),)),
    Group("example.com", (OfferedVersion("v2", (), custom=True), OfferedVersion("v1", (), custom=True))),
]


def made(name: str, label: str = "true", **spec: Any) -> dict[str, Any]:
    version, _, group = name.partition(".")
    labels = {"kube-aggregator.kubernetes.io/automanaged": label} if label else {}
    priorities = {"groupPriorityMinimum": 1000, "versionPriority": 100}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"group": group, "version": version, **priorities, **spec},
    }


def test_each_version_of_custom_resources_has_one() -> None:
    write, surplus = missing_and_surplus(GROUPS, {"v1.apps": made("v1.apps", "onstart")})
    assert [one["metadata"]["name"] for one in write] == ["v2.example.com", "v1.example.com"]
    assert write[0]["spec"] == made("v2.example.com")["spec"]
    assert surplus == []


def test_they_are_corrected_and_go_with_the_last_definition() -> None:
    existing = {
        "v1.example.com": made("v1.example.com", versionPriority=7),
        "v2.example.com": made("v2.example.com"),
        "v3.example.com": made("v3.example.com"),
    }
    write, surplus = missing_and_surplus(GROUPS, existing)
    assert [one["spec"] for one in write] == [made("v1.example.com")["spec"]]
    assert surplus == ["v3.example.com"]


def test_those_of_others_are_left_alone() -> None:
    service = {"namespace": "default", "name": "s"}
    existing = {
        "v1.example.com": made("v1.example.com", "", service=service),
        "v2.example.com": made("v2.example.com", "onstart", versionPriority=3),
        "v9.metrics.k8s.io": made("v9.metrics.k8s.io", ""),
    }
    assert missing_and_surplus(GROUPS, existing) == ([], [])
