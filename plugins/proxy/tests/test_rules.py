"""Which endpoints are used from where: a table. Source of the cases: k8s.io/kubernetes/pkg/proxy/topology_test.go."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hyperkube_proxy.model import Endpoint, ServicePort
from hyperkube_proxy.rules import Place, route

from .routes import service

HERE = Place("n1", "a")
CLUSTER = service()
INTERNAL_LOCAL = service(internal_local=True)
EXTERNAL_LOCAL = service(external_local=True, node_port=30080)
BOTH_LOCAL = service(internal_local=True, external_local=True, node_port=30080)


def each(number: int, **fields: object) -> Endpoint:
    return Endpoint(f"10.1.0.{number}", 80, **fields)  # type: ignore[arg-type]


def hinted(number: int, zone: str, node: str) -> Endpoint:
    return each(number, zones=frozenset(zone), nodes=frozenset({node}))


def at(number: int, *zones: str, **fields: object) -> Endpoint:
    return each(number, zones=frozenset(zones), **fields)


GONE = {"ready": False, "serving": False, "terminating": True}
LEAVING = {"ready": False, "serving": True, "terminating": True}
UNREADY = {"ready": False, "serving": False}


@dataclass(frozen=True)
class Case:
    name: str
    port: ServicePort
    endpoints: list[Endpoint]
    cluster: set[int]
    local: set[int]
    anywhere: bool = True
    place: Place = HERE


CASES = [
    Case("nothing", CLUSTER, [], set(), set(), anywhere=False),
    Case("ready ones alone", CLUSTER, [each(1), each(2, **UNREADY)], {1}, set()),
    Case("terminating ones where none is ready", CLUSTER, [each(1, **LEAVING), each(2, **GONE)], {1}, set()),
    Case("no terminating one beside a ready one", CLUSTER, [each(1, **LEAVING), each(2)], {2}, set()),
    Case("none that is of use", CLUSTER, [each(1, **UNREADY), each(2, **GONE)], set(), set(), anywhere=False),
    Case("zones", CLUSTER, [at(1, "a"), at(2, "b"), at(3, "a", "b")], {1, 3}, set()),
    Case("zones, with one that has no hint", CLUSTER, [at(1, "a"), at(2, "b"), each(3)], {1, 2, 3}, set()),
    Case("zones, none of which is ours", CLUSTER, [at(1, "b"), at(2, "c")], {1, 2}, set()),
    Case("zones, where we have none", CLUSTER, [at(1, "a"), at(2, "b")], {1, 2}, set(), place=Place("n1")),
    Case("a hint of one that isn't ready", CLUSTER, [at(1, "a", **UNREADY), at(2, "b")], {2}, set()),
    Case(
        "nodes before zones",
        CLUSTER,
        [
            each(1, zones=frozenset("a"), nodes=frozenset({"n1"})),
            each(2, zones=frozenset("a"), nodes=frozenset({"n2"})),
        ],
        {1},
        set(),
    ),
    Case(
        "zones, where no node hint is ours",
        CLUSTER,
        [
            each(1, zones=frozenset("a"), nodes=frozenset({"n3"})),
            each(2, zones=frozenset("b"), nodes=frozenset({"n2"})),
        ],
        {1},
        set(),
    ),
    Case("internal traffic that stays here", INTERNAL_LOCAL, [each(1), each(2, local=True)], set(), {2}),
    Case("internal traffic, nothing here", INTERNAL_LOCAL, [each(1)], set(), set()),
    Case("internal traffic, nothing anywhere", INTERNAL_LOCAL, [each(1, **GONE)], set(), set(), anywhere=False),
    Case("internal traffic, one leaving here", INTERNAL_LOCAL, [each(1), each(2, local=True, **LEAVING)], set(), {2}),
    Case("external traffic that stays here", EXTERNAL_LOCAL, [each(1), each(2, local=True)], {1, 2}, {2}),
    Case("external, one leaving here", EXTERNAL_LOCAL, [each(1), each(2, local=True, **LEAVING)], {1}, {2}),
    Case("both stay here", BOTH_LOCAL, [each(1), each(2, local=True)], {1, 2}, {2}),
    Case("here, though the hint is for elsewhere", EXTERNAL_LOCAL, [at(1, "a"), at(2, "b", local=True)], {1}, {2}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_endpoints_are_chosen(case: Case) -> None:
    found = route(case.port, case.endpoints, case.place)

    def numbers(endpoints: tuple[Endpoint, ...]) -> set[int]:
        return {int(endpoint.ip.rpartition(".")[2]) for endpoint in endpoints}

    assert (numbers(found.cluster), numbers(found.local)) == (case.cluster, case.local)
    assert found.anywhere is case.anywhere
    assert numbers(found.reachable) == case.cluster | case.local


def test_traffic_takes_the_endpoints_of_its_policy() -> None:
    endpoints = [each(1), each(2, local=True)]
    inside, outside = route(INTERNAL_LOCAL, endpoints, HERE), route(EXTERNAL_LOCAL, endpoints, HERE)
    assert [endpoint.ip for endpoint in inside.internal] == ["10.1.0.2"]
    assert [endpoint.ip for endpoint in outside.internal] == ["10.1.0.1", "10.1.0.2"]
    assert [endpoint.ip for endpoint in outside.external] == ["10.1.0.2"]
