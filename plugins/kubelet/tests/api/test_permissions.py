"""What somebody needs for a request to the kubelet."""

from __future__ import annotations

import pytest

from hyperkube_kubelet.api.permissions import Asked, asked


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/pods", Asked("get", ("pods", "proxy"))),
        ("GET", "/runningpods/", Asked("get", ("pods", "proxy"))),
        ("GET", "/healthz", Asked("get", ("healthz", "proxy"))),
        ("GET", "/healthz/syncloop", Asked("get", ("healthz", "proxy"))),
        ("GET", "/metrics/resource", Asked("get", ("metrics",))),
        ("GET", "/stats/summary", Asked("get", ("stats",))),
        ("GET", "/podsy", Asked("get", ("proxy",))),
        ("GET", "/containerLogs/ns/p/c", Asked("get", ("proxy",))),
        ("POST", "/exec/ns/p/c", Asked("create", ("proxy",))),
        ("GET", "/logs/x", Asked("get", ("log",))),
    ],
)
def test_what_is_asked_for(method: str, path: str, expected: Asked) -> None:
    assert asked(method, path) == expected
