"""Whether a certificate and a key are a pair, told as Go tells it. Source: crypto/tls (X509KeyPair)."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from hyperkube_apiserver.registry.pemblocks import pem_blocks

__all__ = ["key_pair_complaint"]

_KEY = "PRIVATE KEY"


def key_pair_complaint(certificate: bytes, key: bytes) -> str:
    """What is wrong with the pair; nothing if it can be served with."""
    blocks = pem_blocks(certificate)
    skipped = [kind for kind, _, _ in blocks]
    chain = [data for kind, data, _ in blocks if kind == "CERTIFICATE"]
    if not blocks:
        return "tls: failed to find any PEM data in certificate input"
    if not chain:
        if len(skipped) == 1 and skipped[0].endswith(_KEY):
            return (
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
                "PEM inputs may have been switched"
            )
        told = " ".join(skipped)
        return (
            'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the '
            f"following types: [{told}]"
        )
    return _key_complaint(chain[0], key)


def _key_complaint(leaf: bytes, key: bytes) -> str:
    blocks = pem_blocks(key)
    skipped = [kind for kind, _, _ in blocks]
    private = next((data for kind, data, _ in blocks if kind == _KEY or kind.endswith(f" {_KEY}")), None)
    if not blocks:
        return "tls: failed to find any PEM data in key input"
    if private is None:
        if skipped == ["CERTIFICATE"]:
            return "tls: found a certificate rather than a key in the PEM for the private key"
        told = " ".join(skipped)
        return (
            'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of '
            f"the following types: [{told}]"
        )
    try:
        public = x509.load_der_x509_certificate(leaf).public_key()
    except ValueError:
        return "x509: malformed certificate"
    try:
        mine = load_der_private_key(private, password=None).public_key()
    except (ValueError, TypeError):
        return "tls: failed to parse private key"
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return "tls: unknown public key algorithm"
    if type(public) is not type(mine):
        return "tls: private key type does not match public key type"
    one, other = (one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in (public, mine))
    return "" if one == other else "tls: private key does not match public key"
