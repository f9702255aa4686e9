"""Rows of autoscalers and of what a cluster has for all, where nothing was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.printers import ListMeta
from hyperkube_apiserver.printers.table import rows, table
from hyperkube_machinery.ages import seconds_of

CREATED = "2026-01-01T00:00:00Z"
NOW = seconds_of(CREATED) + 5
KINDS = {(kind.resource.group, kind.resource.kind): kind for kind in load_kinds().values() if kind.is_stored}


def cells(group: str, kind: str, **said: Any) -> dict[str, Any]:
    """The row of one object, by its columns."""
    found = KINDS[group, kind]
    (row,) = rows(found, [{"metadata": {"name": "a", "creationTimestamp": CREATED}, **said}], now=NOW)
    return {column.name: cell for column, cell in zip(found.columns, row, strict=True)}


def resource(name: str, target: dict[str, Any], kind: str = "Resource") -> dict[str, Any]:
    return {"type": kind, kind[0].lower() + kind[1:]: {"name": name, "target": target}}


def measured(kind: str, target: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, kind.lower(): {"metric": {"name": "m"}, "target": target}}


@pytest.mark.parametrize(
    ("metrics", "current", "shown"),
    [
        ([], [], "<none>"),
        ([resource("cpu", {"averageUtilization": 80})], [], "cpu: <unknown>/80%"),
        (
            [resource("cpu", {"averageUtilization": 80})],
            [{"resource": {"current": {"averageUtilization": 50, "averageValue": "5m"}}}],
            "cpu: 50%/80%",
        ),
        ([resource("cpu", {})], [], "cpu: <unknown>/<auto>"),
        ([resource("memory", {"averageValue": "1Gi"})], [{"resource": {"current": {}}}], "memory: <nil>/1Gi"),
        (
            [resource("cpu", {"averageUtilization": 60}, "ContainerResource")],
            [{"containerResource": {"current": {"averageUtilization": 7}}}],
            "cpu: 7%/60%",
        ),
        ([measured("Pods", {"averageValue": "1k"})], [{"pods": {"current": {"averageValue": "9"}}}], "9/1k"),
        ([measured("External", {"averageValue": "3"})], [], "<unknown>/3 (avg)"),
        ([measured("External", {"value": "3"})], [{"external": {"current": {"value": "2"}}}], "2/3"),
        ([measured("Object", {"value": "2"})], [{}], "<unknown>/2"),
        ([measured("Object", {"averageValue": "2"})], [{"object": {"current": {"averageValue": "1"}}}], "1/2 (avg)"),
        ([{"type": "New"}, *[resource("cpu", {})] * 3], [], "<unknown type>, cpu: <unknown>/<auto> + 2 more..."),
    ],
)
def test_targets_of_an_autoscaler(metrics: list[Any], current: list[Any], shown: str) -> None:
    spec = {"scaleTargetRef": {"kind": "D", "name": "d"}, "maxReplicas": 5, "minReplicas": 0, "metrics": metrics}
    status = {"currentMetrics": current, "currentReplicas": 3}
    row = cells("autoscaling", "HorizontalPodAutoscaler", spec=spec, status=status)
    assert row["Targets"] == shown
    assert (row["Reference"], row["MinPods"], row["MaxPods"], row["Replicas"]) == ("D/d", "0", 5, 3)


@pytest.mark.parametrize(
    ("conditions", "certificate", "shown"),
    [
        ([], "", "Pending"),
        (["Approved"], "", "Approved"),
        (["Approved", "Failed"], "", "Approved,Failed"),
        (["Approved"], "AA==", "Approved,Issued"),
        (["Denied", "Approved"], "", "Denied"),
    ],
)
def test_the_condition_of_a_certificate_request(conditions: list[str], certificate: str, shown: str) -> None:
    status = {"conditions": [{"type": kind} for kind in conditions], "certificate": certificate}
    row = cells("certificates.k8s.io", "CertificateSigningRequest", spec={"expirationSeconds": 7200}, status=status)
    assert (row["Condition"], row["RequestedDuration"], row["SignerName"]) == (shown, "120m", "<none>")


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ({"status": "True", "reason": "Local"}, "True"),
        ({"status": "False", "reason": "ServiceNotFound"}, "False (ServiceNotFound)"),
        ({"status": "Unknown"}, "Unknown"),
    ],
)
def test_the_availability_of_an_api_service(condition: dict[str, str], shown: str) -> None:
    status = {"conditions": [{"type": "Available", **condition}]}
    row = cells("apiregistration.k8s.io", "APIService", spec={}, status=status)
    assert (row["Service"], row["Available"]) == ("Local", shown)


def test_flow_schemas_stand_in_the_order_in_which_they_are_tried() -> None:
    def schema(name: str, precedence: int) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence}}

    listed = table(
        KINDS["flowcontrol.apiserver.k8s.io", "FlowSchema"],
        [schema("a", 900), schema("c", 1), schema("b", 1)],
        ListMeta(),
        now=NOW,
    )
    assert [row["cells"][0] for row in listed["rows"]] == ["b", "c", "a"]
    status = {"conditions": [{"type": "Dangling", "status": "True"}]}
    row = cells("flowcontrol.apiserver.k8s.io", "FlowSchema", spec={}, status=status)
    assert (row["MissingPL"], row["DistinguisherMethod"]) == ("True", "<none>")
