"""TLS secrets whose parts don't belong together."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hyperkube_apiserver.registry.core.keypairs import key_pair_complaint


def _certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


MINE, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
CERTIFICATE = _certificate(MINE)
BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
FOREIGN = b"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n"


@pytest.mark.parametrize(
    ("certificate", "key", "complaint"),
    [
        (CERTIFICATE, _pem(MINE), ""),
        (CERTIFICATE, _pem(MINE, PrivateFormat.TraditionalOpenSSL), ""),
        (FOREIGN + CERTIFICATE, FOREIGN + _pem(MINE), ""),
        (b"x", _pem(MINE), "tls: failed to find any PEM data in certificate input"),
        (CERTIFICATE, b"x", "tls: failed to find any PEM data in key input"),
        (
            _pem(MINE),
            CERTIFICATE,
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
            "PEM inputs may have been switched",
        ),
        (
            FOREIGN,
            _pem(MINE),
            'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the '
            "following types: [DH PARAMETERS]",
        ),
        (
            CERTIFICATE,
            CERTIFICATE,
            "tls: found a certificate rather than a key in the PEM for the private key",
        ),
        (
            CERTIFICATE,
            FOREIGN,
            'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of '
            "the following types: [DH PARAMETERS]",
        ),
        (BROKEN, _pem(MINE), "x509: malformed certificate"),
        (
            CERTIFICATE,
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "tls: failed to parse private key",
        ),
        (CERTIFICATE, _pem(OTHER), "tls: private key does not match public key"),
        (
            CERTIFICATE,
            _pem(rsa.generate_private_key(65537, 1024)),
            "tls: private key type does not match public key type",
        ),
    ],
    ids=[
        "PKCS 8",
        "SEC 1",
        "between others",
        "no certificate",
        "no key",
        "the wrong way round",
        "something else first",
        "two certificates",
        "something else second",
        "a broken certificate",
        "a broken key",
        "another's key",
        "a key of another kind",
    ],
)
def test_what_is_wrong_with_a_pair_is_told(certificate: bytes, key: bytes, complaint: str) -> None:
    assert key_pair_complaint(certificate, key) == complaint


def test_a_secret_with_a_foreign_key_is_taken_with_a_warning(writer: Any) -> None:
    secrets = writer.strategy("secrets")
    data = {"tls.crt": base64.b64encode(CERTIFICATE).decode(), "tls.key": base64.b64encode(_pem(OTHER)).decode()}
    given = {"metadata": {"name": "s"}, "type": "kubernetes.io/tls", "data": data}
    secret, errors = writer.create(secrets, given)
    assert errors == []
    assert secrets.warnings(secret) == ["tls: private key does not match public key"]
    data["tls.key"] = base64.b64encode(_pem(MINE)).decode()
    assert secrets.warnings({**secret, "data": data}) == []
