"""Whom a webhook's certificate must be from, and what is told of one that won't do, in Go's words.

Source: crypto/x509 (verify.go), k8s.io/client-go/transport.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import ssl
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from hyperkube_machinery.tls import CertificateError, client_context

__all__ = ["BadBundle", "context_for", "explain"]

_OTHER_NAME, _OTHER_ADDRESS = 62, 64
_TOO_EARLY, _TOO_LATE = 9, 10


class BadBundle(ValueError):
    """A caBundle holds no certificates."""


def context_for(bundle: str, certificate_pem: bytes = b"", key_pem: bytes = b"") -> ssl.SSLContext:
    """What a server is called with whose `caBundle` that is; without one, the system's authorities are trusted.

    The caller shows its own certificate, where it has one. Takes some milliseconds. Raises BadBundle.
    """
    try:
        pem = base64.b64decode(bundle, validate=True) if bundle else None
        context = client_context(ca_pem=pem, certificate_pem=certificate_pem, key_pem=key_pem)
    except (binascii.Error, CertificateError, UnicodeDecodeError) as exc:
        raise BadBundle("unable to load root certificates: unable to parse bytes as PEM block") from exc
    # As Go does: whatever is in the bundle is trusted, a server's own certificate too, and names stand in one place.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False
    return context


def explain(error: ssl.SSLCertVerificationError, shown: bytes, name: str, now: float) -> str:
    """Why a certificate (`shown`, DER, empty if it is not known) is not taken for that of `name`."""
    code = error.verify_code
    if code in (_TOO_EARLY, _TOO_LATE) and shown:
        return _expiry(x509.load_der_x509_certificate(shown), now)
    if code in (_OTHER_NAME, _OTHER_ADDRESS) and shown:
        return _names(x509.load_der_x509_certificate(shown), name)
    if code in (_OTHER_NAME, _OTHER_ADDRESS, _TOO_EARLY, _TOO_LATE):
        return f"x509: {error.verify_message}"
    return "x509: certificate signed by unknown authority"


def _expiry(certificate: x509.Certificate, now: float) -> str:
    current = datetime.fromtimestamp(int(now), UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    relation, limit = ("before", begins) if current < begins else ("after", ends)
    told = f"current time {_time(current)} is {relation} {_time(limit)}"
    return f"x509: certificate has expired or is not yet valid: {told}"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _names(certificate: x509.Certificate, name: str) -> str:
    try:
        listed = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        listed = None
    hosts = listed.get_values_for_type(x509.DNSName) if listed is not None else []
    addresses = [str(one) for one in listed.get_values_for_type(x509.IPAddress)] if listed is not None else []
    if _is_address(name):
        if not addresses:
            return f"x509: cannot validate certificate for {name} because it doesn't contain any IP SANs"
        return f"x509: certificate is valid for {', '.join(addresses)}, not {name}"
    if listed is None and certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        return "x509: certificate relies on legacy Common Name field, use SANs instead"
    if not hosts:
        return f"x509: certificate is not valid for any names, but wanted to match {name}"
    return f"x509: certificate is valid for {', '.join(hosts)}, not {name}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
