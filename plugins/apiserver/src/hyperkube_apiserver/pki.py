"""The server's own certificates: an authority made at the first start, and what it issues.

    DIR/pki/ca.crt, ca.key            signs everything below, and the certificates of clients
    DIR/pki/apiserver.crt, .key       what the server shows, renewed before it expires or when its names change
    DIR/admin.kubeconfig              for a member of system:masters, written anew at each start

Keys are ECDSA P-256: one is made in a millisecond, where RSA takes a second.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperkube_machinery import kubeconfig, tls
from hyperkube_machinery.files import make_private_directory, write_durably

__all__ = ["PKI", "open_pki", "write_admin_kubeconfig"]

log = logging.getLogger(__name__)

ADMIN_KUBECONFIG = "admin.kubeconfig"
_SERVING = "apiserver.crt"
_ADMIN, _MASTERS = "kubernetes-admin", "system:masters"


@dataclass(frozen=True, slots=True)
class PKI:
    """The certificates in use, by file."""

    ca: tls.KeyPair
    serving_certificate: Path
    serving_key: Path
    client_ca: Path  # whose certificates identify clients
    trusted: bytes  # PEM: what clients check the server's certificate against


def open_pki(
    directory: Path,
    names: Sequence[str],
    *,
    now: float,
    serving: tuple[Path, Path] | None = None,
    client_ca: Path | None = None,
) -> PKI:
    """Load what is in `directory`, and make or renew what is missing, old or lacks one of `names`.

    `serving` replaces the serving certificate and its key, `client_ca` is trusted for clients besides the own
    authority. Raises CertificateError.
    """
    make_private_directory(directory)
    ca = _authority(directory, now)
    if serving is None:
        certificate, key = directory / _SERVING, directory / "apiserver.key"
        _renew(ca, certificate, key, names, now)
        trusted = ca.certificate_pem
    else:
        certificate, key = serving
        tls.check_validity(tls.load(certificate, key).certificate, source=certificate, now=now)
        # Whoever issued it, a client that holds the certificate itself can check it.
        trusted = certificate.read_bytes()
    own = directory / "ca.crt"
    if client_ca is None:
        return PKI(ca, certificate, key, own, trusted)
    tls.load_certificates(client_ca)
    both = directory / "client-ca.crt"
    write_durably(both, ca.certificate_pem + client_ca.read_bytes())
    return PKI(ca, certificate, key, both, trusted)


def _authority(directory: Path, now: float) -> tls.KeyPair:
    certificate, key = directory / "ca.crt", directory / "ca.key"
    # A first start that was interrupted left a key at most, by which nobody was issued anything.
    if not certificate.exists() and not (directory / _SERVING).exists():
        ca = tls.create_ca("kubernetes-ca", now=now)
        tls.save(ca, certificate, key)
        return ca
    ca = tls.load(certificate, key)
    tls.check_validity(ca.certificate, source=certificate, now=now)
    return ca


def _renew(ca: tls.KeyPair, certificate: Path, key: Path, names: Sequence[str], now: float) -> None:
    if certificate.exists() and key.exists():
        try:
            found = tls.load(certificate, key)
        except tls.CertificateError as exc:  # such as a new key with the old certificate, from an interrupted renewal
            log.warning("the serving certificate is made anew: %s", exc)
        else:
            if not tls.renewal_reason(found.certificate, ca.certificate, names, now=now):
                return
    tls.save(tls.issue_serving_certificate(ca, "kube-apiserver", names, now=now), certificate, key)


def serving_names(bind_address: str, service_address: str, service_domain: str = "cluster.local") -> list[str]:
    """The names that clients reach the server by: from this machine, by its name, and from pods."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), service_address]
    if not ipaddress.ip_address(bind_address).is_unspecified:
        names.append(bind_address)
    names += ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names.append(f"kubernetes.default.svc.{service_domain}")
    return list(dict.fromkeys(names))


def write_admin_kubeconfig(directory: Path, pki: PKI, server: str, *, now: float) -> Path:
    """Write a kubeconfig with which its holder may do everything; returns where."""
    admin = tls.issue_client_certificate(pki.ca, _ADMIN, (_MASTERS,), now=now)
    path = directory / ADMIN_KUBECONFIG
    access = kubeconfig.Access(
        server=server, ca_pem=pki.trusted, certificate_pem=admin.certificate_pem, key_pem=admin.key_pem
    )
    kubeconfig.write(path, access, cluster="hk", user="admin")
    return path
