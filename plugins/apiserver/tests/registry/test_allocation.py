from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.registry.allocation import AddressPool, Full, Pool, PortPool, Refused
from hyperkube_apiserver.registry.core.services import Services
from hyperkube_apiserver.registry.strategy import DEFAULT_POLICY, WriteContext
from hyperkube_machinery.errors import APIError

_KIND = load_kinds()["", "v1", "services"]
_CONTEXT = WriteContext(now="2026-01-01T00:00:00Z", namespace="n")


def _services(network: str = "10.0.0.0/28", ports: range = range(30000, 30008)) -> Services:
    return Services(_KIND, DEFAULT_POLICY, [IPv4Network(network)], ports)


def _service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], **spec}}


def _begun(services: Services, **spec: Any) -> tuple[dict[str, Any], Any]:
    obj = _service(**spec)
    services.default(obj)
    return obj, services.begin_create(obj, _CONTEXT)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["create", "fail", "dry", "delete"]), st.integers(0, 40)), max_size=60))
def test_no_two_services_ever_hold_the_same_address_or_port(steps: list[tuple[str, int]]) -> None:
    services = _services()
    living: list[dict[str, Any]] = []
    for step, number in steps:
        if step == "delete":
            if living:
                services.removed(living.pop(number % len(living)))
            continue
        wanted = {} if number % 3 else {"clusterIP": f"10.0.0.{number % 15 or 1}"}
        obj = _service(type="NodePort", **wanted)
        services.default(obj)
        context = WriteContext(now=_CONTEXT.now, namespace="n", dry_run=step == "dry")
        try:
            reservation = services.begin_create(obj, context)
        except APIError:
            continue
        if step == "create":
            reservation.commit()
            living.append(obj)
        elif step == "dry":
            reservation.commit()
        else:
            reservation.release()
    addresses = [obj["spec"]["clusterIP"] for obj in living]
    ports = [obj["spec"]["ports"][0]["nodePort"] for obj in living]
    assert len(set(addresses)) == len(addresses)
    assert len(set(ports)) == len(ports)


@given(st.lists(st.integers(0, 30), max_size=40))
def test_a_pool_hands_out_each_number_once_and_then_is_full(asked: list[int]) -> None:
    pool = Pool(100, 20, 5)
    taken = [100 + number for number in asked if 100 + number in pool and pool.take(100 + number)]
    while pool.free:
        taken.append(pool.take_any())
    assert sorted(taken) == list(range(100, 120))
    with pytest.raises(Full):
        pool.take_any()


def test_numbers_nobody_asked_for_come_from_the_upper_band_while_it_lasts() -> None:
    pool = AddressPool(IPv4Network("10.0.0.0/24"))
    drawn = [int(ip_address(pool.take_any_address())) & 0xFF for _ in range(238)]
    assert min(drawn) == 17
    assert int(ip_address(pool.take_any_address())) & 0xFF <= 16


def test_a_range_gives_neither_its_own_nor_the_broadcast_address() -> None:
    pool = AddressPool(IPv4Network("10.0.0.0/29"))
    drawn = {pool.take_any_address() for _ in range(6)}
    assert drawn == {f"10.0.0.{number}" for number in range(1, 7)}
    with pytest.raises(Full, match="range is full"):
        pool.take_any_address()


def test_an_ipv6_range_gives_ipv6_addresses() -> None:
    pool = AddressPool(IPv6Network("fd00::/108"))
    assert ip_address(pool.take_any_address()) in IPv6Network("fd00::/108")


def test_ports_out_of_range_and_taken_ones_are_told_apart() -> None:
    ports = PortPool(range(30000, 32768))
    ports.take_port(30000)
    with pytest.raises(Refused, match=r"^provided port is already allocated$"):
        ports.take_port(30000)
    with pytest.raises(Refused, match=r"The range of valid ports is 30000-32767$"):
        ports.take_port(29999)


def test_what_a_failed_write_took_is_free_again() -> None:
    services = _services()
    first, reservation = _begun(services, clusterIP="10.0.0.9", type="NodePort")
    reservation.release()
    again, _ = _begun(services, clusterIP="10.0.0.9", type="NodePort")
    assert again["spec"]["clusterIPs"] == first["spec"]["clusterIPs"] == ["10.0.0.9"]


def test_a_refused_port_gives_the_address_back() -> None:
    services = _services()
    with pytest.raises(APIError, match="not in the valid range"):
        _begun(services, clusterIP="10.0.0.9", type="NodePort", ports=[{"port": 1, "nodePort": 5}])
    obj, _ = _begun(services, clusterIP="10.0.0.9")
    assert obj["spec"]["clusterIP"] == "10.0.0.9"


def test_a_dry_run_takes_nothing() -> None:
    services = _services()
    obj = _service(clusterIP="10.0.0.9")
    services.default(obj)
    services.begin_create(obj, WriteContext(now=_CONTEXT.now, dry_run=True)).commit()
    assert _begun(services, clusterIP="10.0.0.9")[0]["spec"]["clusterIP"] == "10.0.0.9"


def test_stored_services_keep_what_they_hold_over_a_restart() -> None:
    before, _ = _begun(_services(), clusterIP="10.0.0.9", type="NodePort")
    after = _services()
    after.loaded(before)
    with pytest.raises(APIError, match="provided IP is already allocated"):
        _begun(after, clusterIP="10.0.0.9")
    port = before["spec"]["ports"][0]["nodePort"]
    with pytest.raises(APIError, match="provided port is already allocated"):
        _begun(after, type="NodePort", ports=[{"port": 1, "nodePort": port}])


def test_a_service_that_stops_being_reached_from_outside_gives_its_ports_back_once_stored() -> None:
    services = _services()
    old, reservation = _begun(services, type="NodePort")
    reservation.commit()
    port = old["spec"]["ports"][0]["nodePort"]
    new = _service(**{**old["spec"], "type": "ClusterIP", "ports": [{"port": 80}]})
    del new["spec"]["externalTrafficPolicy"]
    services.default(new)
    change = services.begin_update(new, old, _CONTEXT)
    with pytest.raises(APIError, match="already allocated"):
        _begun(services, type="NodePort", ports=[{"port": 1, "nodePort": port}])
    change.commit()
    taken, _ = _begun(services, type="NodePort", ports=[{"port": 1, "nodePort": port}])
    assert taken["spec"]["ports"][0]["nodePort"] == port


def test_an_exhausted_range_is_an_internal_error_that_says_so() -> None:
    services = _services("10.0.0.0/30")
    for _ in range(2):
        _begun(services)
    with pytest.raises(APIError, match='failed to allocate a serviceIP for Service "s": range is full') as refused:
        _begun(services)
    assert refused.value.code == 500


def test_two_ranges_serve_both_families() -> None:
    networks: list[IPv4Network | IPv6Network] = [IPv4Network("10.0.0.0/24"), IPv6Network("fd00::/108")]
    services = Services(_KIND, DEFAULT_POLICY, networks, range(30000, 30100))
    obj, _ = _begun(services, ipFamilyPolicy="PreferDualStack")
    assert obj["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
    first, second = map(ip_address, obj["spec"]["clusterIPs"])
    assert first in networks[0]
    assert second in networks[1]
