"""What an APIService is told to be, as far as objects tell."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.aggregation.availability import availability

REMOTE = {"spec": {"service": {"name": "s", "namespace": "n", "port": 443}}}
SERVICE = {"spec": {"type": "ClusterIP", "ports": [{"name": "https", "port": 443}]}}
SLICE = {"ports": [{"name": "https"}], "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": True}}]}


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
    ],
)
def test_a_service_is_looked_for(service: Any, slices: list[Any], reason: str, message: str) -> None:
    assert availability(REMOTE, service, slices) == ("False", reason, message)


@pytest.mark.parametrize("service", [SERVICE, {"spec": {"type": "ExternalName", "externalName": "example.com"}}])
def test_what_leads_somewhere_is_to_be_asked(service: Any) -> None:
    assert availability(REMOTE, service, [SLICE]) is None
