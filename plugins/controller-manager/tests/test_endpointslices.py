"""Which slices a service needs; facts of Kubernetes' k8s.io/endpointslice tests."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_controller_manager.controllers.endpointslice import _Written
from hyperkube_controller_manager.endpointslices import CONTROLLER_NAME, Plan, plan_slices
from hyperkube_controller_manager.endpointsubsets import endpoints_labels, subsets_of, truncated
from hyperkube_controller_manager.servicepods import Triggers, container_port

NODES: dict[str, dict[str, Any]] = {
    "n1": {"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}}},
    "n2": {"metadata": {}},
}


def service(*ports: dict[str, Any], labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "ns", "uid": "s", "labels": labels or {}}
    meta["creationTimestamp"] = "2026-01-01T00:00:00Z"
    listed = list(ports) or [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    body = {"selector": {"a": "b"}, "ports": listed, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"], **spec}
    return {"metadata": meta, "spec": body}


def pod(
    number: int, *, ready: bool = True, deleted: bool = False, node: str = "n1", v6: str = "", **spec: Any
) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": f"pod{number}", "namespace": "ns", "uid": f"u{number}"}
    if deleted:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    address = f"10.1.{number >> 8}.{number & 255}"
    addresses = [{"ip": address}, *([{"ip": v6}] if v6 else [])]
    ready_condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:05Z"}
    status = {"phase": "Running", "podIP": address, "podIPs": addresses, "conditions": [ready_condition]}
    return {"metadata": meta, "spec": {"nodeName": node, **spec}, "status": status}


def plan(of: dict[str, Any], pods: list[Any], slices: list[Any] | None = None, *, most: int = 100) -> Plan:
    return plan_slices(of, pods, slices or [], lambda name: NODES.get(name), most=most)


def stored(made: Plan) -> list[dict[str, Any]]:
    """What the server holds once the plan's new slices are written."""
    found = []
    for number, one in enumerate(made.create):
        meta = {**one["metadata"], "name": f"web-{number}", "resourceVersion": "1"}
        found.append({**one, "metadata": meta})
    return found


def sizes(slices: list[Any]) -> list[int]:
    return sorted(len(one["endpoints"]) for one in slices)


def test_a_ready_pod_is_an_endpoint_with_its_node_and_zone() -> None:
    [made] = plan(service(labels={"team": "x"}), [pod(1)]).create
    assert made["addressType"] == "IPv4"
    assert made["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
    assert made["endpoints"] == [
        {
            "addresses": ["10.1.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "ns", "name": "pod1", "uid": "u1"},
            "nodeName": "n1",
            "zone": "z1",
        }
    ]
    meta = made["metadata"]
    assert meta["generateName"] == "web-"
    assert meta["labels"] == {
        "team": "x",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": CONTROLLER_NAME,
    }
    assert [(owner["kind"], owner["uid"], owner["controller"]) for owner in meta["ownerReferences"]] == [
        ("Service", "s", True)
    ]


@pytest.mark.parametrize(
    ("ready", "deleted", "publish", "expected"),
    [
        (True, False, False, (True, True, False)),
        (False, False, False, (False, False, False)),
        (True, True, False, (False, True, True)),
        (False, True, False, (False, False, True)),
        (False, False, True, (True, False, False)),
        (True, True, True, (True, True, True)),
    ],
)
def test_conditions_of_an_endpoint(ready: bool, deleted: bool, publish: bool, expected: tuple[bool, ...]) -> None:
    [made] = plan(service(publishNotReadyAddresses=publish), [pod(1, ready=ready, deleted=deleted)]).create
    conditions = made["endpoints"][0]["conditions"]
    assert (conditions["ready"], conditions["serving"], conditions["terminating"]) == expected


def test_a_pod_that_ended_or_has_no_address_is_no_endpoint() -> None:
    ended, new = pod(1), pod(2)
    ended["status"]["phase"] = "Succeeded"
    new["status"] = {"phase": "Pending"}
    [made] = plan(service(), [ended, new]).create
    assert (made["endpoints"], made["ports"]) == ([], [])


def test_a_service_without_endpoints_keeps_one_empty_slice() -> None:
    first = plan(service(), [])
    [placeholder] = stored(first)
    assert plan(service(), [], [placeholder]) == Plan()
    filled = plan(service(), [pod(1)], [placeholder])
    assert (filled.create, filled.delete, sizes(filled.update)) == ([], [], [1])
    emptied = plan(service(), [], filled.update)
    assert (emptied.create, emptied.delete, sizes(emptied.update)) == ([], [], [0])
    assert emptied.update[0]["metadata"]["name"] == "web-0"


def test_nothing_is_written_when_nothing_has_changed() -> None:
    of = service(labels={"team": "x"})
    pods = [pod(number) for number in range(150)]
    slices = stored(plan(of, pods))
    assert sizes(slices) == [50, 100]
    assert plan(of, pods, slices) == Plan()


def test_one_pod_changed_is_one_slice_written() -> None:
    pods = [pod(number) for number in range(250)]
    slices = stored(plan(service(), pods))
    pods[7] = pod(7, ready=False)
    made = plan(service(), pods, slices)
    assert (made.create, made.delete, len(made.update)) == ([], [], 1)
    assert made.update[0]["metadata"]["resourceVersion"] == "1"


def test_new_pods_go_where_there_is_room_and_something_is_written_anyway() -> None:
    pods = [pod(number) for number in range(130)]
    slices = stored(plan(service(), pods))
    made = plan(service(), [*pods[1:], *(pod(number) for number in range(200, 211))], slices)
    # The full slice lost one and is filled up; the other ten go into the other slice.
    assert (made.create, sizes(made.update)) == ([], [40, 100])


def test_pods_that_fit_nowhere_together_get_a_new_slice() -> None:
    pods = [pod(number) for number in range(95)]
    slices = stored(plan(service(), pods))
    made = plan(service(), [*pods, *(pod(number) for number in range(200, 210))], slices)
    assert (sizes(made.create), made.update) == ([10], [])


def test_many_pods_fill_slices_of_the_size_asked_for() -> None:
    assert sizes(plan(service(), [pod(number) for number in range(25)], most=10).create) == [5, 10, 10]


def test_pods_with_other_ports_have_other_slices() -> None:
    named = {"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}
    one = pod(1, containers=[{"ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}]}])
    other = pod(2, containers=[{"ports": [{"name": "web", "containerPort": 9090, "protocol": "TCP"}]}])
    made = plan(service(named), [one, other])
    assert sorted(slice_["ports"][0]["port"] for slice_ in made.create) == [8080, 9090]
    moved = plan(service(named), [other], stored(made))
    assert (moved.create, moved.update, len(moved.delete)) == ([], [], 1)


def test_a_change_of_ports_is_written_over_the_old_slice() -> None:
    slices = stored(plan(service(), [pod(1)]))
    made = plan(service({"name": "http", "port": 80, "targetPort": 9090, "protocol": "TCP"}), [pod(1)], slices)
    assert (made.create, made.delete) == ([], [])
    assert [one["ports"][0]["port"] for one in made.update] == [9090]


def test_each_family_has_slices_of_its_own() -> None:
    of = service(ipFamilies=["IPv4", "IPv6"])
    both, old = pod(1, v6="fd00::0001"), pod(2)
    made = plan(of, [both, old])
    found = {one["addressType"]: [e["addresses"] for e in one["endpoints"]] for one in made.create}
    assert found == {"IPv4": [["10.1.0.1"], ["10.1.0.2"]], "IPv6": [["fd00::1"]]}
    single = plan(service(), [both, old], stored(made))
    assert [one["addressType"] for one in single.delete] == ["IPv6"]


def test_a_headless_service_says_so_and_needs_no_ports() -> None:
    of = service(clusterIP="None")
    of["spec"]["ports"] = []
    [made] = plan(of, [pod(1, hostname="zero", subdomain="web")]).create
    assert made["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert made["ports"] == []
    assert made["endpoints"][0]["hostname"] == "zero"


def test_labels_follow_the_service() -> None:
    slices = stored(plan(service(), [pod(1)]))
    made = plan(service(labels={"new": "one"}), [pod(1)], slices)
    assert [one["metadata"]["labels"]["new"] for one in made.update] == ["one"]


def test_a_slice_of_an_earlier_service_of_the_name_is_not_written_over() -> None:
    [old] = stored(plan(service(), [pod(1)]))
    old["metadata"]["ownerReferences"][0]["uid"] = "earlier"
    made = plan(service(), [pod(1)], [old])
    assert (len(made.create), made.update, made.delete) == (1, [], [old])


def test_a_service_that_is_deleted_gets_no_new_slices() -> None:
    of = service()
    of["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert plan(of, [pod(1)]).create == []


def test_a_pod_on_a_node_that_is_not_known_waits() -> None:
    strange = pod(1, node="nowhere")
    made = plan(service(), [strange, pod(2)])
    assert made.homeless == [strange]
    assert [one["targetRef"]["name"] for one in made.create[0]["endpoints"]] == ["pod2"]
    assert plan(service(publishNotReadyAddresses=True), [strange]).homeless == []


@pytest.mark.parametrize(
    ("distribution", "hints"),
    [
        (None, None),
        ("PreferClose", {"forZones": [{"name": "z1"}]}),
        ("PreferSameZone", {"forZones": [{"name": "z1"}]}),
        ("PreferSameNode", {"forZones": [{"name": "z1"}], "forNodes": [{"name": "n1"}]}),
    ],
)
def test_an_endpoint_is_for_those_near_it_if_that_is_asked_for(distribution: str | None, hints: Any) -> None:
    [made] = plan(service(trafficDistribution=distribution), [pod(1)]).create
    assert made["endpoints"][0].get("hints") == hints


@pytest.mark.parametrize(
    ("target", "protocol", "expected"),
    [(9000, "TCP", 9000), ("http", "TCP", 8080), ("http", "UDP", None), ("side", "TCP", 7070), ("init", "TCP", None)],
)
def test_a_port_is_found_by_its_name(target: int | str, protocol: str, expected: int | None) -> None:
    sidecar = {"restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 7070, "protocol": "TCP"}]}
    init = {"ports": [{"name": "init", "containerPort": 6060, "protocol": "TCP"}]}
    container = {"ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}
    of = {"spec": {"containers": [container], "initContainers": [init, sidecar]}}
    assert container_port(of, {"port": 80, "targetPort": target, "protocol": protocol}) == expected


def test_the_time_of_a_change_is_that_of_the_earliest_since_the_last_look() -> None:
    triggers, of = Triggers(), service()
    one, other = pod(1), pod(2)
    assert triggers.observe(of, [one, other]) == "2026-01-01T00:00:00Z"
    assert triggers.observe(of, [one, other]) == ""
    one["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:30Z"
    other["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:20Z"
    assert triggers.observe(of, [one, other]) == "2026-01-01T00:00:20Z"


# Endpoints, the older form


def test_pods_that_offer_the_same_ports_are_one_subset() -> None:
    subsets = subsets_of(service(), [pod(2), pod(1), pod(3, ready=False), pod(4, deleted=True)])
    [subset] = subsets
    assert [one["ip"] for one in subset["addresses"]] == ["10.1.0.1", "10.1.0.2"]
    assert [one["ip"] for one in subset["notReadyAddresses"]] == ["10.1.0.3"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    target = {"kind": "Pod", "namespace": "ns", "name": "pod1", "uid": "u1"}
    assert subset["addresses"][0] == {"ip": "10.1.0.1", "nodeName": "n1", "targetRef": target}


def test_ports_that_the_same_pods_offer_are_one_subset() -> None:
    both = [
        {"name": "a", "port": 1, "targetPort": "a", "protocol": "TCP"},
        {"name": "b", "port": 2, "targetPort": "b", "protocol": "TCP"},
    ]
    port_a = {"name": "a", "containerPort": 11, "protocol": "TCP"}
    port_b = {"name": "b", "containerPort": 22, "protocol": "TCP"}
    one, other = pod(1, containers=[{"ports": [port_a, port_b]}]), pod(2, containers=[{"ports": [port_a]}])
    found = [
        ([port["name"] for port in subset["ports"]], [one["ip"] for one in subset["addresses"]])
        for subset in subsets_of(service(*both), [one, other])
    ]
    assert found == [(["a"], ["10.1.0.1", "10.1.0.2"]), (["b"], ["10.1.0.1"])]


def test_a_headless_service_without_ports_has_addresses_all_the_same() -> None:
    of = service(clusterIP="None")
    of["spec"]["ports"] = []
    assert [sorted(subset) for subset in subsets_of(of, [pod(1)])] == [["addresses"]]
    assert endpoints_labels(of)["service.kubernetes.io/headless"] == ""


def test_endpoints_name_pods_of_the_first_family_only() -> None:
    subsets = subsets_of(service(ipFamilies=["IPv6", "IPv4"]), [pod(1, v6="fd00::1"), pod(2)])
    assert [one["ip"] for one in subsets[0]["addresses"]] == ["fd00::1"]


def test_a_thousand_addresses_are_the_most_and_ready_ones_come_first() -> None:
    subsets = [
        {"addresses": [{"ip": str(n)} for n in range(600)], "notReadyAddresses": [{"ip": "x"}] * 300},
        {"addresses": [{"ip": str(n)} for n in range(200)], "notReadyAddresses": [{"ip": "x"}] * 100},
    ]
    cut = truncated(subsets)
    assert cut is not None
    assert [(len(one["addresses"]), len(one["notReadyAddresses"])) for one in cut] == [(600, 150), (200, 50)]
    assert truncated(subsets[:1]) is None
    many = truncated([{"addresses": [{"ip": str(n)} for n in range(2000)], "notReadyAddresses": [{"ip": "x"}]}])
    assert many is not None
    assert [(len(one["addresses"]), "notReadyAddresses" in one) for one in many] == [(1000, False)]


def test_a_slice_that_somebody_else_deletes_is_missed_whoever_wrote_it() -> None:
    written = _Written()
    mine, ours, earlier = ({"metadata": {"uid": which, "generation": 1}} for which in ("mine", "ours", "earlier"))
    for one in (mine, ours):
        written.wrote("ns/web", one)
    written.deleted("ns/web", mine)
    assert written.saw_deletion("ns/web", mine)
    assert not written.saw_deletion("ns/web", ours)
    assert not written.saw_deletion("ns/web", earlier)  # by this controller, before it was started again
