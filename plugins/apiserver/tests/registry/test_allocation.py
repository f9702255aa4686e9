from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.registry.allocation import Full, Pool, PortPool, Refused
from hyperkube_apiserver.registry.core.clusteraddresses import AddressRange, ClusterAddresses
from hyperkube_apiserver.registry.core.services import Services
from hyperkube_apiserver.registry.strategy import DEFAULT_POLICY, WriteContext
from hyperkube_machinery.errors import APIError

_KIND = load_kinds()["", "v1", "services"]
_STEPS = ("create", "fail", "late", "dry", "delete")
_CONTEXT = WriteContext(now="2026-01-01T00:00:00Z", namespace="n")


class Records:
    """IPAddresses that are kept in a set."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def write(self, address: str, namespace: str, service: str) -> bool:
        if address in self.names:
            return False
        self.names.add(address)
        return True

    def look_after(self, addresses: Iterable[str]) -> None:
        self.names.difference_update(addresses)


def _services(network: str = "10.0.0.0/28", ports: range = range(30000, 30008)) -> Services:
    services = Services(_KIND, DEFAULT_POLICY, [IPv4Network(network)], ports)
    services.records = records = Records()
    services.addresses.follow(records.names.__contains__)
    return services


async def _stored(reservation: Any) -> None:
    await reservation.secure()
    reservation.commit()


def _service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], **spec}}


def _begun(services: Services, **spec: Any) -> tuple[dict[str, Any], Any]:
    obj = _service(**spec)
    services.default(obj)
    return obj, services.begin_create(obj, _CONTEXT)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["create", "fail", "late", "dry", "delete"]), st.integers(0, 40)), max_size=60)
)
def test_no_two_services_ever_hold_the_same_address_or_port(steps: list[tuple[str, int]]) -> None:
    services = _services()
    living: list[dict[str, Any]] = []

    async def take(step: str, number: int) -> None:
        wanted = {} if number % 3 else {"clusterIP": f"10.0.0.{number % 15 or 1}"}
        obj = _service(type="NodePort", **wanted)
        services.default(obj)
        context = WriteContext(now=_CONTEXT.now, namespace="n", dry_run=step == "dry")
        try:
            reservation = services.begin_create(obj, context)
            if step == "fail":
                reservation.release()
                return
            await reservation.secure()
        except APIError:
            return
        if step == "late":
            reservation.release()
            return
        reservation.commit()
        if step == "create":
            living.append(obj)

    for step, number in steps:
        if step != "delete":
            asyncio.run(take(step, number))
        elif living:
            gone = living.pop(number % len(living))
            services.removed(gone)
            services.records.look_after(gone["spec"]["clusterIPs"])  # type: ignore[union-attr]
    addresses = [obj["spec"]["clusterIP"] for obj in living]
    ports = [obj["spec"]["ports"][0]["nodePort"] for obj in living]
    assert len(set(addresses)) == len(addresses)
    assert len(set(ports)) == len(ports)
    assert services.records.names == set(addresses)  # type: ignore[union-attr]


@given(st.lists(st.integers(0, 30), max_size=40))
def test_a_pool_hands_out_each_number_once_and_then_is_full(asked: list[int]) -> None:
    pool = Pool(100, 20, 5)
    taken = [100 + number for number in asked if 100 + number in pool and pool.take(100 + number)]
    while pool.free:
        taken.append(pool.take_any())
    assert sorted(taken) == list(range(100, 120))
    with pytest.raises(Full):
        pool.take_any()


def _last_byte(address: str) -> int:
    return int(ip_address(address)) & 0xFF


def test_addresses_nobody_asked_for_come_from_the_upper_band_while_it_lasts() -> None:
    addresses = ClusterAddresses([IPv4Network("10.0.0.0/24")])
    drawn = [_last_byte(addresses.take_any("IPv4")) for _ in range(238)]
    assert (min(drawn), max(drawn), len(set(drawn))) == (17, 254, 238)
    assert _last_byte(addresses.take_any("IPv4")) <= 16


def test_a_range_gives_neither_its_own_nor_the_broadcast_address() -> None:
    addresses = ClusterAddresses([IPv4Network("10.0.0.0/29")])
    assert {addresses.take_any("IPv4") for _ in range(6)} == {f"10.0.0.{number}" for number in range(1, 7)}
    with pytest.raises(Full, match="range is full"):
        addresses.take_any("IPv4")
    for edge in ("10.0.0.0", "10.0.0.7", "fd00::1"):
        with pytest.raises(Refused, match=r"^the provided network does not match the current range$"):
            addresses.take(edge)


def test_an_ipv6_range_gives_ipv6_addresses() -> None:
    address = next(AddressRange(IPv6Network("fd00::/64")).addresses())
    assert ip_address(address) in IPv6Network("fd00::/64")


def test_ranges_come_and_go_with_their_objects() -> None:
    addresses = ClusterAddresses([IPv4Network("10.0.0.0/30")])
    for _ in range(2):
        addresses.take_any("IPv4")
    more: dict[str, Any] = {"metadata": {}, "spec": {"cidrs": ["10.1.0.0/30", "fd00::/64"]}}
    addresses.offer("more", more)
    assert addresses.take_any("IPv4") in ("10.1.0.1", "10.1.0.2")
    unready = {**more, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    going = {**more, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    for gone in (unready, going, None):
        addresses.offer("more", gone)
        with pytest.raises(Full):
            addresses.take_any("IPv4")
        addresses.offer("more", more)


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


@pytest.mark.anyio
async def test_a_dry_run_takes_nothing_and_does_not_mind_what_is_taken() -> None:
    services = _services()
    context = WriteContext(now=_CONTEXT.now, dry_run=True)
    for spec, shown in (({"clusterIP": "10.0.0.9"}, "10.0.0.9"), ({}, "10.0.0.0")):
        obj = _service(**spec)
        services.default(obj)
        await _stored(services.begin_create(obj, context))
        assert obj["spec"]["clusterIPs"] == [shown]
    taken, reservation = _begun(services, clusterIP="10.0.0.9")
    await _stored(reservation)
    services.begin_create(taken, context).release()
    with pytest.raises(APIError, match=r"\(10.9.0.1\) is not in the valid range"):
        services.begin_create(_service(type="ClusterIP", clusterIP="10.9.0.1"), context)


@pytest.mark.anyio
async def test_an_address_that_somebody_else_records_first_is_refused_or_replaced() -> None:
    services = _services("10.0.0.0/30")
    _, asked = _begun(services, clusterIP="10.0.0.2")
    services.records.names.add("10.0.0.2")  # type: ignore[union-attr]
    with pytest.raises(APIError, match=r"failed to allocate IP 10\.0\.0\.2: provided IP is already allocated"):
        await asked.secure()
    asked.release()
    services.records.names.clear()  # type: ignore[union-attr]
    obj, given_ = _begun(services)
    first = obj["spec"]["clusterIP"]
    services.records.names.add(first)  # type: ignore[union-attr]
    await _stored(given_)
    assert {first, obj["spec"]["clusterIP"]} == {"10.0.0.1", "10.0.0.2"}
    assert obj["spec"]["clusterIPs"] == [obj["spec"]["clusterIP"]]


def test_stored_services_keep_their_ports_over_a_restart() -> None:
    before, _ = _begun(_services(), clusterIP="10.0.0.9", type="NodePort")
    after = _services()
    after.loaded(before)
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


def test_the_range_of_the_flags_is_there_even_if_its_object_is_not() -> None:
    addresses = ClusterAddresses([IPv4Network("10.0.0.0/29")])
    addresses.offer("kubernetes", {"metadata": {}, "spec": {"cidrs": ["10.0.0.0/29"]}})
    addresses.offer("kubernetes", None)
    assert ip_address(addresses.take_any("IPv4")) in IPv4Network("10.0.0.0/29")
