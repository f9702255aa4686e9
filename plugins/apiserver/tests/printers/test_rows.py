"""The rows of every kind: as recorded from a real server, and by upstream's rules where nothing was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.kinds import Kind, load_kinds
from hyperkube_apiserver.printers import ListMeta, core
from hyperkube_apiserver.printers.table import rows, table
from hyperkube_machinery.ages import human_duration, seconds_of, since

CREATED = "2026-01-01T00:00:00Z"
NOW = seconds_of(CREATED) + 5
RECORDED = json.loads((Path(__file__).parent / "data" / "rows.json").read_text())
KINDS = {(kind.resource.api_version, kind.resource.kind): kind for kind in load_kinds().values()}


def kind_of(api_version: str, kind: str) -> Kind:
    return KINDS[api_version, kind]


def cells(api_version: str, kind: str, obj: dict[str, Any], *, now: float = NOW) -> dict[str, Any]:
    """The one row of `obj`, by the names of its columns."""
    found = kind_of(api_version, kind)
    metadata = {"name": "x", "creationTimestamp": CREATED, **obj.pop("metadata", {})}
    (row,) = rows(found, [{**obj, "metadata": metadata}], now=now)
    return {column.name: cell for column, cell in zip(found.columns, row, strict=True)}


@pytest.mark.parametrize(
    "case", RECORDED, ids=[f"{case['object']['kind']} {case['object']['metadata']['name']}" for case in RECORDED]
)
def test_rows_are_as_recorded(case: dict[str, Any]) -> None:
    obj = case["object"]
    shown = table(kind_of(obj["apiVersion"], obj["kind"]), [obj], ListMeta(), now=NOW)["rows"][0]
    # Types count: clients sort and align by them.
    assert [(type(cell), cell) for cell in shown["cells"]] == [(type(cell), cell) for cell in case["cells"]]
    assert shown.get("conditions") == case["conditions"]


LISTED = [kind for kind in KINDS.values() if kind.columns]


@pytest.mark.parametrize("kind", LISTED, ids=[kind.definition for kind in LISTED])
def test_every_kind_fills_its_columns_from_next_to_nothing(kind: Kind) -> None:
    (row,) = rows(kind, [{"metadata": {"name": "x"}}], now=NOW)
    assert len(row) == len(kind.columns) + (kind.resource.kind == "IPAddress")
    by_name = {column.name: cell for column, cell in zip(kind.columns, row, strict=False)}
    assert by_name["Name"] == "x"
    assert by_name.get("Age", "<unknown>") == "<unknown>"
    for column, cell in zip(kind.columns, row, strict=False):
        assert isinstance(cell, int) if column.type == "integer" else isinstance(cell, str | int)


def test_a_config_map_counts_text_and_binary_entries() -> None:
    shown = cells("v1", "ConfigMap", {"data": {"a": "1", "b": "2"}, "binaryData": {"c": "Mw=="}})
    assert shown == {"Name": "x", "Data": 3, "Age": "5s"}


def test_a_component_status_tells_of_its_health() -> None:
    def shown(*conditions: dict[str, str]) -> list[Any]:
        return core.component_status({"metadata": {"name": "x"}, "conditions": list(conditions)}, NOW)

    assert shown({"type": "Healthy", "status": "True", "message": "ok"}) == ["x", "Healthy", "ok", ""]
    assert shown({"type": "Healthy", "status": "False", "error": "dead"}) == ["x", "Unhealthy", "", "dead"]
    assert shown() == ["x", "Unknown", "", ""]


@pytest.mark.parametrize(
    ("subsets", "shown"),
    [
        ([], "<none>"),
        ([{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}], "10.0.0.1,10.0.0.2"),
        ([{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}, {"port": 443}]}], "10.0.0.1:80,10.0.0.1:443"),
        ([{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}], "[fd00::1]:80"),
        (
            [
                {"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 1}]},
                {"addresses": [{"ip": "10.0.0.3"}, {"ip": "10.0.0.4"}], "ports": [{"port": 2}, {"port": 3}]},
            ],
            "10.0.0.1:1,10.0.0.2:1,10.0.0.3:2 + 3 more...",
        ),
        ([{"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}], ""),
    ],
)
def test_endpoints_show_three_addresses(subsets: list[Any], shown: str) -> None:
    assert cells("v1", "Endpoints", {"subsets": subsets})["Endpoints"] == shown


def test_an_event_of_the_old_kind() -> None:
    event = {
        "type": "Normal",
        "reason": "Started",
        "message": " began \n",
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        "source": {"component": "kubelet", "host": "n1"},
        "firstTimestamp": "2025-12-31T23:59:00Z",
        "lastTimestamp": "2025-12-31T23:59:58Z",
        "count": 4,
    }
    assert cells("v1", "Event", event) == {
        "Last Seen": "7s",
        "Type": "Normal",
        "Reason": "Started",
        "Object": "pod/p",
        "Subobject": "spec.containers{c}",
        "Source": "kubelet, n1",
        "Message": "began",
        "First Seen": "65s",
        "Count": 4,
        "Name": "x",
    }


def test_an_event_of_the_new_kind_has_a_time_and_a_series() -> None:
    event: dict[str, Any] = {
        "eventTime": "2026-01-01T00:00:01.500000Z",
        "reportingComponent": "sched",
        "reportingInstance": "s-1",
        "involvedObject": {"kind": "Node"},
    }
    single = cells("v1", "Event", dict(event))
    assert (single["Last Seen"], single["First Seen"], single["Count"]) == ("3s", "3s", 1)
    assert (single["Object"], single["Source"]) == ("node", "sched, s-1")
    event["series"] = {"count": 9, "lastObservedTime": "2026-01-01T00:00:03.000000Z"}
    repeated = cells("v1", "Event", event)
    assert (repeated["Last Seen"], repeated["First Seen"], repeated["Count"]) == ("2s", "3s", 9)
    assert cells("v1", "Event", {})["Last Seen"] == "<unknown>"


def test_an_event_of_the_events_group_reads_its_own_fields() -> None:
    event = {
        "metadata": {"name": "x"},
        "regarding": {"kind": "Pod", "name": "p"},
        "note": "hello",
        "reportingController": "c",
        "deprecatedCount": 2,
        "deprecatedFirstTimestamp": "2025-12-31T23:59:00Z",
        "deprecatedLastTimestamp": CREATED,
        "deprecatedSource": {"host": "h"},
    }
    assert core.event(event, NOW) == ["5s", "", "", "pod/p", "", "c, h", "hello", "65s", 2, "x"]


def test_a_limit_range_shows_when_it_was_created() -> None:
    assert cells("v1", "LimitRange", {}) == {"Name": "x", "Created At": CREATED}
    assert cells("v1", "LimitRange", {"metadata": {"creationTimestamp": None}})["Created At"] == "0001-01-01T00:00:00Z"


def test_a_node_tells_whether_it_is_ready() -> None:
    def status(*conditions: tuple[str, str], unschedulable: bool = False) -> str:
        listed = [{"type": kind, "status": value} for kind, value in conditions]
        node = {"spec": {"unschedulable": unschedulable}, "status": {"conditions": listed}}
        return str(cells("v1", "Node", node)["Status"])

    assert status(("Ready", "True")) == "Ready"
    assert status(("MemoryPressure", "True"), ("Ready", "Unknown")) == "NotReady"
    assert status() == "Unknown"
    assert status(("Ready", "True"), unschedulable=True) == "Ready,SchedulingDisabled"


def test_a_node_shows_its_roles_addresses_and_software() -> None:
    node = {
        "metadata": {
            "labels": {
                "node-role.kubernetes.io/worker": "",
                "node-role.kubernetes.io/control-plane": "",
                "node-role.kubernetes.io/": "",
                "kubernetes.io/role": "edge",
            }
        },
        "status": {
            "addresses": [
                {"type": "Hostname", "address": "h"},
                {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "InternalIP", "address": "fd00::1"},
            ],
            "nodeInfo": {
                "kubeletVersion": "v1.36.2",
                "osImage": "Debian 12",
                "kernelVersion": "6.1",
                "architecture": "amd64",
                "containerRuntimeVersion": "containerd://2.0",
            },
        },
    }
    assert cells("v1", "Node", node) == {
        "Name": "x",
        "Status": "Unknown",
        "Roles": "control-plane,edge,worker",
        "Age": "5s",
        "Version": "v1.36.2",
        "Internal-IP": "10.0.0.1",
        "External-IP": "<none>",
        "OS-Image": "Debian 12",
        "Kernel-Version": "6.1 (amd64)",
        "Container-Runtime": "containerd://2.0",
    }
    bare = cells("v1", "Node", {})
    assert (bare["Roles"], bare["OS-Image"], bare["Kernel-Version"], bare["Container-Runtime"]) == (
        "<none>",
        "<unknown>",
        "<unknown>",
        "<unknown>",
    )


def test_a_persistent_volume() -> None:
    volume = {
        "spec": {
            "capacity": {"storage": "4Gi"},
            "accessModes": ["ReadWriteMany", "ReadWriteOnce", "ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": "ns", "name": "c"},
            "storageClassName": "slow",
            "volumeMode": "Block",
        },
        "status": {"phase": "Bound", "reason": "because"},
    }
    shown = list(cells("v1", "PersistentVolume", volume).values())
    assert shown == ["x", "4Gi", "RWO,RWX", "Retain", "Bound", "ns/c", "slow", "<unset>", "because", "5s", "Block"]
    ending = {"metadata": {"deletionTimestamp": CREATED}, "status": {"phase": "Available"}}
    assert cells("v1", "PersistentVolume", ending)["Status"] == "Terminating"


def test_a_claim_shows_its_volume_once_it_is_bound() -> None:
    claim: dict[str, Any] = {
        "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "beta"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
        "status": {"phase": "Pending"},
    }
    pending = cells("v1", "PersistentVolumeClaim", dict(claim))
    assert list(pending.values()) == ["x", "Pending", "", "", "", "beta", "<unset>", "5s", "<unset>"]
    claim["spec"] = {"volumeName": "v", "storageClassName": "fast", "volumeAttributesClassName": "gold"}
    claim["status"] = {"phase": "Bound", "accessModes": ["ReadOnlyMany"], "capacity": {"storage": "4Gi"}}
    claim["metadata"] = {}
    bound = cells("v1", "PersistentVolumeClaim", claim)
    assert list(bound.values()) == ["x", "Bound", "v", "4Gi", "ROX", "fast", "gold", "5s", "<unset>"]


TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "i:2"}]}}


def test_a_replication_controller() -> None:
    controller = {
        "spec": {"replicas": 3, "selector": {"b": "2", "a": "1"}, "template": TEMPLATE},
        "status": {"replicas": 2, "readyReplicas": 1},
    }
    shown = list(cells("v1", "ReplicationController", controller).values())
    assert shown == ["x", 3, 2, 1, "5s", "a,b", "i:1,i:2", "a=1,b=2"]


def test_a_quota_tells_limits_from_the_rest() -> None:
    quota = {
        "status": {"hard": {"pods": "4", "limits.cpu": "2", "cpu": "1"}, "used": {"pods": "1", "limits.cpu": "500m"}}
    }
    shown = cells("v1", "ResourceQuota", quota)
    assert (shown["Request"], shown["Limit"]) == ("cpu: 0/1, pods: 1/4", "limits.cpu: 500m/2")


def test_a_secret_counts_its_entries() -> None:
    assert list(cells("v1", "Secret", {"type": "Opaque", "data": {"a": "eA=="}}).values()) == ["x", "Opaque", 1, "5s"]


def test_a_service_of_every_type_shows_where_it_is_reached() -> None:
    def external(spec: dict[str, Any], *ingress: dict[str, str]) -> str:
        service = {"spec": spec, "status": {"loadBalancer": {"ingress": list(ingress)}}}
        return str(cells("v1", "Service", service)["External-IP"])

    assert external({"type": "ClusterIP"}) == "<none>"
    assert external({"type": "NodePort", "externalIPs": ["1.1.1.1", "2.2.2.2"]}) == "1.1.1.1,2.2.2.2"
    assert external({"type": "LoadBalancer"}) == "<pending>"
    assert external({"type": "LoadBalancer"}, {"ip": "9.9.9.9"}, {"hostname": "h"}, {"ip": "3.3.3.3"}) == (
        "3.3.3.3,9.9.9.9,h"
    )
    assert external({"type": "LoadBalancer", "externalIPs": ["1.1.1.1"]}, {"ip": "9.9.9.9"}) == "9.9.9.9,1.1.1.1"
    assert external({"type": "ExternalName", "externalName": "e.example"}) == "e.example"
    assert external({}) == "<unknown>"


def test_a_service_shows_node_ports() -> None:
    spec = {
        "type": "NodePort",
        "clusterIPs": ["10.0.0.9"],
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
    }
    shown = cells("v1", "Service", {"spec": spec})
    assert (shown["Cluster-IP"], shown["Port(s)"], shown["Selector"]) == ("10.0.0.9", "80:30080/TCP,53/UDP", "<none>")


def test_a_deployment() -> None:
    deployment = {
        "spec": {
            "replicas": 3,
            "template": TEMPLATE,
            "selector": {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]},
        },
        "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1},
    }
    shown = list(cells("apps/v1", "Deployment", deployment).values())
    assert shown == ["x", "1/3", 2, 1, "5s", "a,b", "i:1,i:2", "a=1,b"]
    bad = {"spec": {"selector": {"matchExpressions": [{"key": "b", "operator": "Bad"}]}}}
    assert cells("apps/v1", "Deployment", bad)["Selector"] == "<invalid>"
    assert cells("apps/v1", "Deployment", {"spec": {"selector": {}}})["Selector"] == ""
    assert cells("apps/v1", "ReplicaSet", {"spec": {"selector": {}}})["Selector"] == "<none>"
    assert cells("apps/v1", "ReplicaSet", bad)["Selector"] == "<error>"


def job_cells(spec: dict[str, Any], status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return cells("batch/v1", "Job", {"spec": spec, "status": status, "metadata": metadata})


@pytest.mark.parametrize(
    ("spec", "succeeded", "shown"),
    [
        ({"completions": 3}, 1, "1/3"),
        ({"completions": 0}, 0, "0/0"),
        ({}, 0, "0/1"),
        ({"parallelism": 1}, 1, "1/1"),
        ({"parallelism": 4}, 2, "2/1 of 4"),
    ],
)
def test_a_jobs_completions(spec: dict[str, Any], succeeded: int, shown: str) -> None:
    assert job_cells(spec, {"succeeded": succeeded})["Completions"] == shown


def test_a_jobs_status_is_the_furthest_that_holds() -> None:
    def status(*conditions: str, **metadata: Any) -> str:
        listed = [{"type": kind, "status": "True"} for kind in conditions]
        return str(job_cells({}, {"conditions": listed}, **metadata)["Status"])

    assert status() == "Running"
    assert status("SuccessCriteriaMet", "Complete") == "Complete"
    assert status("FailureTarget", "Failed") == "Failed"
    assert status("Failed", deletionTimestamp=CREATED) == "Failed"
    assert status("Suspended", deletionTimestamp=CREATED) == "Terminating"
    assert status("Suspended", "FailureTarget") == "Suspended"
    assert status("FailureTarget") == "FailureTarget"
    assert status("SuccessCriteriaMet") == "SuccessCriteriaMet"
    resumed = {"conditions": [{"type": "Suspended", "status": "False"}]}
    assert job_cells({}, resumed)["Status"] == "Running"


def test_a_jobs_duration_ends_with_it() -> None:
    assert job_cells({}, {})["Duration"] == ""
    assert job_cells({}, {"startTime": "2026-01-01T00:00:02Z"})["Duration"] == "3s"
    done = {"startTime": "2025-12-31T23:00:00Z", "completionTime": "2025-12-31T23:05:30Z"}
    assert job_cells({}, done)["Duration"] == "5m30s"


def test_a_cron_job() -> None:
    cron_job = {
        "spec": {
            "schedule": "* * * * *",
            "suspend": False,
            "timeZone": "Etc/UTC",
            "jobTemplate": {"spec": {"template": TEMPLATE}},
        },
        "status": {"active": [{}, {}], "lastScheduleTime": "2026-01-01T00:00:00Z"},
    }
    shown = list(cells("batch/v1", "CronJob", cron_job).values())
    assert shown == ["x", "* * * * *", "Etc/UTC", "False", 2, "5s", "5s", "a,b", "i:1,i:2", "<none>"]
    bare = cells("batch/v1", "CronJob", {})
    assert (bare["Timezone"], bare["Suspend"], bare["Active"], bare["Last Schedule"]) == (
        "<none>",
        "<unset>",
        0,
        "<none>",
    )


@pytest.mark.parametrize("kind", ["RoleBinding", "ClusterRoleBinding"])
def test_a_binding_lists_its_subjects_by_kind(kind: str) -> None:
    binding = {
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [
            {"kind": "User", "name": "u1"},
            {"kind": "ServiceAccount", "name": "sa", "namespace": "ns"},
            {"kind": "User", "name": "u2"},
            {"kind": "Group", "name": "g"},
            {"kind": "Other", "name": "o"},
        ],
    }
    shown = list(cells("rbac.authorization.k8s.io/v1", kind, binding).values())
    assert shown == ["x", "ClusterRole/view", "5s", "u1, u2", "g", "ns/sa"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-2.5, "<invalid>"),
        (-1.9, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (121, "2m1s"),
        (10 * 60 - 1, "9m59s"),
        (10 * 60, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600, "8h"),
        (48 * 3600 - 1, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (730 * 86400 - 1, "729d"),
        (730 * 86400, "2y"),
        (731 * 86400, "2y1d"),
        (8 * 365 * 86400, "8y"),
        (9 * 365 * 86400 - 1, "8y"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown


def test_the_age_of_what_has_no_time_is_unknown() -> None:
    assert since(None, NOW) == "<unknown>"
    assert since("2026-01-01T00:01:00Z", NOW) == "<invalid>"
