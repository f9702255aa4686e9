"""What stands in a request for a certificate."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

__all__ = ["BadCertificateRequest", "CertificateRequest", "read_request"]


class BadCertificateRequest(ValueError):
    """The bytes are no request for a certificate."""


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """Whom a certificate is asked for."""

    common_name: str
    organizations: tuple[str, ...]


def read_request(encoded: str) -> CertificateRequest:
    """Read the `spec.request` of a CertificateSigningRequest: PEM, in base64. Raises BadCertificateRequest."""
    try:
        pem = base64.b64decode(encoded, validate=True)
    except binascii.Error as exc:
        raise BadCertificateRequest(str(exc)) from exc
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        raise BadCertificateRequest("PEM block type must be CERTIFICATE REQUEST")
    try:
        subject = x509.load_pem_x509_csr(pem).subject
    except ValueError as exc:
        raise BadCertificateRequest(str(exc)) from exc
    names = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    organizations = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return CertificateRequest(names[-1] if names else "", tuple(organizations))
