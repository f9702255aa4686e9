"""Keys that tokens are signed and verified with.

A key is called by a digest of its public half, so that whoever verifies a token knows which key to take.
Source: k8s.io/kubernetes/pkg/serviceaccount (jwt.go, openidmetadata.go), k8s.io/client-go/util/keyutil; RFC 7517, 7518.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KeyFileError", "PublicKey", "SigningKey", "base64url", "create_key", "load_public_keys", "load_signing_key"]

_Private: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_Public: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
# By curve: the algorithm, its digest and how many bytes a coordinate takes.
_CURVES: dict[str, tuple[str, hashes.HashAlgorithm, int]] = {
    "secp256r1": ("ES256", hashes.SHA256(), 32),
    "secp384r1": ("ES384", hashes.SHA384(), 48),
    "secp521r1": ("ES512", hashes.SHA512(), 66),
}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_RSA_BITS = 1024  # what Go's crypto/rsa refuses to go below


class KeyFileError(ValueError):
    """A file of keys can't be used; the message names the file."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"key file '{path}': {message}")
        self.path = path


def base64url(data: bytes) -> str:
    """As tokens and key sets write bytes: without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies."""

    id: str
    algorithm: str  # RS256, ES256, ES384, ES512: a key is for one of them
    key: _Public

    @classmethod
    def of(cls, key: _Public) -> PublicKey:
        """Raises ValueError for a key that no token is signed with."""
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        name = base64url(sha256(der).digest())
        if isinstance(key, rsa.RSAPublicKey):
            if key.key_size < _RSA_BITS:
                raise ValueError(f"an RSA key of {key.key_size} bits is too short")
            return cls(name, "RS256", key)
        if key.curve.name not in _CURVES:
            raise ValueError(f"the curve {key.curve.name} is none of P-256, P-384 and P-521")
        return cls(name, _CURVES[key.curve.name][0], key)

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Whether `signature` is this key's, of `signed`."""
        key = self.key
        try:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
                return True
            _, digest, size = _CURVES[key.curve.name]
            if len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(digest))
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """As it is kept in a file."""
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def jwk(self) -> dict[str, str]:
        """The key as a JSON Web Key."""
        told = {"use": "sig", "kid": self.id, "alg": self.algorithm}
        if isinstance(self.key, rsa.RSAPublicKey):
            public = self.key.public_numbers()
            return {**told, "kty": "RSA", "n": base64url(_shortest(public.n)), "e": base64url(_shortest(public.e))}
        point, curve = self.key.public_numbers(), self.key.curve.name
        size = _CURVES[curve][2]
        x, y = (base64url(number.to_bytes(size, "big")) for number in (point.x, point.y))
        return {**told, "kty": "EC", "crv": _CURVE_NAMES[curve], "x": x, "y": y}


def _shortest(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs."""

    public: PublicKey
    key: _Private

    @classmethod
    def of(cls, key: _Private) -> SigningKey:
        """Raises ValueError for a key that no token is signed with."""
        return cls(PublicKey.of(key.public_key()), key)

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`."""
        key = self.key
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        _, digest, size = _CURVES[key.curve.name]
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def pem(self) -> bytes:
        """The private key, unencrypted, as it is kept in a file."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def create_key() -> SigningKey:
    """A new key, on the curve P-256: it is made in a millisecond, where RSA takes a second."""
    return SigningKey.of(ec.generate_private_key(ec.SECP256R1()))


def load_signing_key(path: Path) -> SigningKey:
    """The first private key in `path` (PEM). Raises KeyFileError."""
    for label, block in _blocks(path):
        if label.endswith("PRIVATE KEY"):
            try:
                return SigningKey.of(_private(block))
            except ValueError as exc:
                raise KeyFileError(path, f"its private key can't be used: {exc}") from exc
    raise KeyFileError(path, "it holds no RSA or ECDSA private key")


def load_public_keys(path: Path) -> list[PublicKey]:
    """The public keys in `path` (PEM), and those of its private keys and certificates. Raises KeyFileError."""
    keys = []
    for label, block in _blocks(path):
        try:
            if label.endswith("PRIVATE KEY"):
                keys.append(SigningKey.of(_private(block)).public)
            elif label.endswith("PUBLIC KEY"):
                keys.append(PublicKey.of(_usable(serialization.load_pem_public_key(block))))
            elif label == "CERTIFICATE":
                keys.append(PublicKey.of(_usable(x509.load_pem_x509_certificate(block).public_key())))
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise KeyFileError(path, f"a key in it can't be used: {exc}") from exc
    if not keys:
        raise KeyFileError(path, "it holds no RSA or ECDSA key")
    return keys


def _blocks(path: Path) -> list[tuple[str, bytes]]:
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise KeyFileError(path, f"cannot read it: {exc.strerror or exc}") from exc
    return [(found[1].decode("ascii"), found[0]) for found in _BLOCK.finditer(text)]


def _private(block: bytes) -> _Private:
    try:
        key = serialization.load_pem_private_key(block, password=None)
    except (TypeError, UnsupportedAlgorithm) as exc:  # TypeError: it is encrypted
        raise ValueError(str(exc)) from exc
    if not isinstance(key, _Private):
        raise ValueError("it is neither RSA nor ECDSA")
    return key


def _usable(key: object) -> _Public:
    if not isinstance(key, _Public):
        raise ValueError("it is neither RSA nor ECDSA")
    return key
