"""Conditions that the server itself writes."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.ownconditions import availability, dangling

REMOTE = {"spec": {"service": {"name": "s", "namespace": "n", "port": 443}}}
SERVICE = {"spec": {"type": "ClusterIP", "ports": [{"name": "https", "port": 443}]}}
SLICE = {"ports": [{"name": "https"}], "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": True}}]}


def test_a_flow_schema_dangles_without_its_level() -> None:
    schema = {"spec": {"priorityLevelConfiguration": {"name": "l"}}}
    start = 'This FlowSchema references the PriorityLevelConfiguration object named "l"'
    assert dangling(schema, {"l"}) == ("False", "Found", f"{start} and it exists")
    assert dangling(schema, {"k"}) == ("True", "NotFound", f"{start} but there is no such object")


def test_what_this_server_serves_is_available() -> None:
    told = ("True", "Local", "Local APIServices are always available")
    assert availability({"spec": {"version": "v1"}}, None, ()) == told


@pytest.mark.parametrize(
    ("service", "slices", "reason", "message"),
    [
        (None, [], "ServiceNotFound", 'service/s in "n" is not present'),
        ({"spec": {"type": "ClusterIP"}}, [], "ServicePortError", 'service/s in "n" is not listening on port 443'),
        (SERVICE, [], "EndpointsNotFound", 'cannot find endpointslices for service/s in "n"'),
        (
            SERVICE,
            [{**SLICE, "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": False}}]}],
            "MissingEndpoints",
            'endpointslices for service/s in "n" have no addresses with port name "https"',
        ),
        (
            SERVICE,
            [{**SLICE, "ports": [{"name": "http"}]}],
            "MissingEndpoints",
            'endpointslices for service/s in "n" have no addresses with port name "https"',
        ),
        (
            SERVICE,
            [SLICE],
            "FailedDiscoveryCheck",
            "this server does not send requests on to other API servers yet",
        ),
    ],
)
def test_a_service_is_looked_for(service: Any, slices: list[Any], reason: str, message: str) -> None:
    assert availability(REMOTE, service, slices) == ("False", reason, message)
