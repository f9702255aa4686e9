"""Where a service's port is listened on."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_proxy.backends.userspace.frontends import Frontend, admission, frontends
from hyperkube_proxy.rules import Place, route

from .routes import CLUSTER_IP, endpoint, service

HERE = Place("n1")
INSIDE = Frontend(CLUSTER_IP, 80, "TCP", external=False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [INSIDE]),
        ({"protocol": "UDP"}, [INSIDE._replace(protocol="UDP")]),
        ({"protocol": "SCTP"}, []),
        ({"external_ips": ("192.0.2.1",)}, [INSIDE, Frontend("192.0.2.1", 80, "TCP", external=True)]),
        (
            {"load_balancer_ips": ("192.0.2.2",), "source_ranges": ("10.0.0.0/8",)},
            [INSIDE, Frontend("192.0.2.2", 80, "TCP", external=True, source_ranges=("10.0.0.0/8",))],
        ),
        (
            {"node_port": 30080},
            [INSIDE, Frontend("192.0.2.100", 30080, "TCP", external=True, of_node=True)],
        ),
    ],
)
def test_each_address_is_listened_on(fields: dict[str, Any], expected: list[Frontend]) -> None:
    found = frontends(route(service(**fields), [endpoint("10.1.0.1")], HERE), ["192.0.2.100"])
    assert list(found) == expected


def test_nobody_listens_where_there_is_no_endpoint() -> None:
    port = service(node_port=30080, external_ips=("192.0.2.1",))
    assert list(frontends(route(port, [], HERE), ["192.0.2.100"])) == []


def test_each_policy_looks_at_its_own_endpoints() -> None:
    port = service(external_ips=("192.0.2.1",), external_local=True)
    found = frontends(route(port, [endpoint("10.1.0.1", local=False)], HERE), [])
    assert list(found) == [INSIDE]


def test_ranges_say_who_may_connect() -> None:
    assert admission(()) is None
    admits = admission(("10.0.0.0/8", "192.0.2.1/32"))
    assert admits is not None
    assert [admits(ip) for ip in ("10.1.2.3", "192.0.2.1", "192.0.2.2", "::1")] == [True, True, False, False]
