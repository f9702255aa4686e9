"""How long certificates are good, and how renewing them goes.

Source: k8s.io/kubernetes/pkg/kubelet/certificate/kubelet.go, cmd/kubelet/app/server.go.
"""

from __future__ import annotations

from collections.abc import Callable

from hyperkube_kubelet.certificates.renewal import Renewal
from hyperkube_machinery.serving.metrics import Registry

__all__ = ["count_client", "count_server"]

_DAY = 86400.0
_LIVES = (60.0, 3600.0, 14400.0, _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY, 180 * _DAY, 360 * _DAY, 1440 * _DAY)


def count_client(registry: Registry, renewal: Renewal | None, seconds_left: Callable[[], float]) -> None:
    """Tell of the certificate that is shown to the API server."""
    registry.collect(
        "kubelet_certificate_manager_client_ttl_seconds",
        "Seconds until the client certificate ends; +Inf without one.",
        lambda: [((), seconds_left())],
    )
    if renewal is not None:
        registry.collect(
            "kubelet_certificate_manager_client_expiration_renew_errors",
            "Tries to renew the client certificate that failed.",
            lambda: [((), renewal.failures)],
            kind="counter",
        )


def count_server(registry: Registry, renewal: Renewal) -> None:
    """Tell of a certificate to serve with that is asked for."""
    registry.collect(
        "kubelet_certificate_manager_server_ttl_seconds",
        "Seconds until the serving certificate ends; +Inf without one.",
        lambda: [((), renewal.seconds_left)],
    )
    registry.collect(
        "kubelet_server_expiration_renew_errors",
        "Tries to renew the serving certificate that failed.",
        lambda: [((), renewal.failures)],
        kind="counter",
    )
    lives = registry.histogram(
        "kubelet_certificate_manager_server_rotation_seconds",
        "How long serving certificates were used before they were renewed.",
        bounds=_LIVES,
    ).labels()
    renewal.on_replaced(lives.observe)
