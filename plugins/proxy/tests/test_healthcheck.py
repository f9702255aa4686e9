"""Health as load balancers and probes see it. Source of the cases: k8s.io/kubernetes/pkg/proxy/healthcheck."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.wire import Wire
from hyperkube_proxy.healthcheck import Health, ServiceHealth
from hyperkube_proxy.model import ServiceName

from .routes import endpoint, routed, service

pytestmark = pytest.mark.anyio

NODE: dict[str, Any] = {"metadata": {"name": "n"}, "spec": {}}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def health(clock: VirtualClock) -> Health:
    health = Health(clock, timeout_seconds=60)
    health.node = NODE
    return health


async def test_a_proxy_is_healthy_until_a_change_waits_too_long(health: Health, clock: VirtualClock) -> None:
    assert health.answer("/healthz").status == 200
    health.queued()
    await clock.advance(30)
    health.queued()  # the oldest counts
    await clock.advance(29)
    assert health.answer("/healthz").status == 200
    await clock.advance(1)
    assert health.answer("/healthz").status == health.answer("/livez").status == 503
    health.updated()
    assert health.answer("/healthz").status == 200
    await clock.advance(600)
    assert health.answer("/healthz").status == 200, "nothing waits"


@pytest.mark.parametrize(
    ("node", "eligible"),
    [
        (None, False),
        (NODE, True),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, False),
        ({"metadata": {}, "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}}, False),
        ({"metadata": {}, "spec": {"taints": [{"key": "other"}]}}, True),
    ],
)
async def test_a_node_that_is_about_to_go_fails_healthz_alone(health: Health, node: Any, eligible: bool) -> None:
    health.node = node
    assert health.answer("/healthz").status == (200 if eligible else 503)
    assert health.answer("/livez").status == 200


async def test_the_answer_has_upstreams_shape(health: Health, clock: VirtualClock) -> None:
    began = "2026-09-21T14:13:20.000000Z"
    await clock.advance(2)
    answer = health.answer("/healthz")
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {
        "lastUpdated": "2026-09-21T14:13:22.000000Z",
        "currentTime": "2026-09-21T14:13:22.000000Z",
        "nodeEligible": True,
        "healthy": True,
        "status": {"IPv4": {"lastUpdated": began, "healthy": True}},
    }
    assert "nodeEligible" not in json.loads(health.answer("/livez").body)  # type: ignore[arg-type]


class Ports:
    """Health check ports, and whom it was told that one can't be had."""

    def __init__(self, clock: VirtualClock, health: Health) -> None:
        self.failures: list[tuple[ServiceName, str]] = []
        self.served = ServiceHealth(
            clock, health, {"IPv4": ["127.0.0.1"]}, on_failure=lambda name, why: self.failures.append((name, why))
        )


@pytest.fixture
async def ports(clock: VirtualClock, health: Health) -> AsyncIterator[Ports]:
    ports = Ports(clock, health)
    yield ports
    await ports.served.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def ask(port: int) -> tuple[int, dict[str, Any], str]:
    async with Wire.connect(port) as wire:
        answer = await wire.ask("GET", "/")
    return answer.status, json.loads(answer.body), answer.headers["x-load-balancing-endpoint-weight"]


async def test_a_services_port_says_how_many_endpoints_are_here(ports: Ports, health: Health) -> None:
    number = free_port()
    lb = service(health_check_node_port=number, external_local=True, load_balancer_ips=("192.0.2.1",))
    routes = routed(lb, endpoint("10.1.0.1"), endpoint("10.1.0.2"), endpoint("10.1.0.3", local=False))
    await ports.served.sync(routes, None)
    assert await ask(number) == (
        200,
        {"service": {"namespace": "default", "name": "web"}, "localEndpoints": 2, "serviceProxyHealthy": True},
        "2",
    )
    await ports.served.sync(routed(lb, endpoint("10.1.0.3", local=False)), list(routes))
    status, body, weight = await ask(number)
    assert (status, body["localEndpoints"], weight) == (503, 0, "0")
    await ports.served.sync({}, list(routes))
    with pytest.raises(ConnectionRefusedError):
        await ask(number)


async def test_a_port_that_is_taken_is_told_of_and_tried_again_when_the_service_changes(ports: Ports) -> None:
    lb = service(external_local=True, load_balancer_ips=("192.0.2.1",))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        lb = replace(lb, health_check_node_port=number)
        routes = routed(lb, endpoint("10.1.0.1"))
        await ports.served.sync(routes, None)
        await ports.served.sync(routes, [])
        assert [str(name) for name, _ in ports.failures] == ["default/web"]
    await ports.served.sync(routes, list(routes))
    assert (await ask(number))[0] == 200
