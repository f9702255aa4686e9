"""What this server shows the servers that it passes requests on to, which believe what it says of users.

    DIR/pki/front-proxy-ca.crt, .key    an authority for this purpose alone, made at the first start

Where flags name a certificate, that is shown instead, and read again when its file changes.
Source: kubeadm's front-proxy-ca and front-proxy-client; --proxy-client-cert-file of kube-apiserver.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from hyperkube_machinery import tls
from hyperkube_machinery.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyperkube_apiserver.aggregation.backend import ProxyCertificate

__all__ = ["CLIENT_NAME", "certificate_from_files", "own_authority", "own_certificate"]

log = logging.getLogger(__name__)

CLIENT_NAME = "front-proxy-client"


def own_authority(directory: Path, now: float) -> Path:
    """The file with the authority's certificate in `directory`, which is made if it isn't there."""
    certificate, key = directory / "front-proxy-ca.crt", directory / "front-proxy-ca.key"
    if not certificate.exists():
        tls.save(tls.create_ca("front-proxy-ca", now=now), certificate, key)
    tls.check_validity(tls.load(certificate, key).certificate, source=certificate, now=now)
    return certificate


def own_certificate(directory: Path, clock: Clock) -> Callable[[], ProxyCertificate]:
    """Issues what is shown by the authority in `directory`, and anew when half of its time is over."""
    held: list[tuple[float, ProxyCertificate]] = []

    def current() -> ProxyCertificate:
        now = clock.now()
        if not held or now >= held[0][0]:
            from hyperkube_apiserver.aggregation.backend import ProxyCertificate

            authority = tls.load(directory / "front-proxy-ca.crt", directory / "front-proxy-ca.key")
            pair = tls.issue_client_certificate(authority, CLIENT_NAME, (), now=now)
            until = pair.certificate.not_valid_after_utc.timestamp()
            held[:] = [((now + until) / 2, ProxyCertificate(pair.certificate_pem, pair.key_pem))]
        return held[0][1]

    return current


def certificate_from_files(certificate: Path, key: Path, clock: Clock) -> Callable[[], ProxyCertificate]:
    """Reads what is shown from files, at most once a minute. Raises CertificateError if it can't be read now."""
    from hyperkube_apiserver.aggregation.backend import ProxyCertificate

    def read() -> ProxyCertificate:
        pair = tls.load(certificate, key)
        return ProxyCertificate(pair.certificate_pem, pair.key_pem)

    held = [(clock.now() + 60.0, read())]

    def current() -> ProxyCertificate:
        now = clock.now()
        if now >= held[0][0]:
            try:
                held[0] = (now + 60.0, read())
            except tls.CertificateError as exc:  # it may be in the middle of being replaced
                log.warning("the certificate shown to aggregated API servers stays as it is: %s", exc)
                held[0] = (now + 60.0, held[0][1])
        return held[0][1]

    return current
