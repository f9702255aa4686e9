"""The keys of an issuer: read from a JSON Web Key Set, and what they have signed.

Source: RFC 7515, 7517, 7518.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

__all__ = ["ALGORITHMS", "VerifyingKey", "read_keys"]

_Public: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_DIGESTS: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES: dict[str, tuple[ec.EllipticCurve, int]] = {
    "P-256": (ec.SECP256R1(), 32),
    "P-384": (ec.SECP384R1(), 48),
    "P-521": (ec.SECP521R1(), 66),
}
_CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
ALGORITHMS = frozenset(f"{family}{size}" for family in ("RS", "ES", "PS") for size in _DIGESTS)
_RSA_BITS = range(1024, 16_385)
"""Shorter ones Go refuses; with longer ones, verifying takes so long that somebody could stop the server with them."""
_MOST_KEYS = 1000


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key of an issuer."""

    id: str
    key: _Public
    curve: str = ""  # P-256, P-384, P-521; "" for RSA

    def verifies(self, algorithm: str, signature: bytes, signed: bytes) -> bool:
        """Whether `signature` is this key's, of `signed`, by `algorithm`, one of `ALGORITHMS`."""
        digest, key = _DIGESTS[algorithm[2:]], self.key
        try:
            if isinstance(key, rsa.RSAPublicKey):
                if algorithm.startswith("RS"):
                    key.verify(signature, signed, padding.PKCS1v15(), digest)
                elif algorithm.startswith("PS"):
                    scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
                    key.verify(signature, signed, scheme, digest)
                else:
                    return False
                return True
            if _CURVE_OF.get(algorithm) != self.curve:
                return False
            size = _CURVES[self.curve][1]
            if len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(digest))
        except (InvalidSignature, ValueError):
            return False
        return True


def read_keys(document: object) -> list[VerifyingKey]:
    """The keys of a set that can verify; others, such as those that encrypt, are left out. Raises ValueError."""
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise ValueError("it is no JSON Web Key Set")
    return [found for found in map(_read_key, keys) if found is not None]


def _read_key(told: Any) -> VerifyingKey | None:
    if not isinstance(told, Mapping):
        return None
    name = told.get("kid") or ""
    if not isinstance(name, str):
        return None
    try:
        match told.get("kty"):
            case "RSA":
                public = rsa.RSAPublicNumbers(_number(told, "e"), _number(told, "n")).public_key()
                return VerifyingKey(name, public) if public.key_size in _RSA_BITS else None
            case "EC":
                called = told.get("crv")
                if not isinstance(called, str) or called not in _CURVES:
                    return None
                point = ec.EllipticCurvePublicNumbers(_number(told, "x"), _number(told, "y"), _CURVES[called][0])
                return VerifyingKey(name, point.public_key(), called)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return None


def _number(told: Mapping[str, Any], field: str) -> int:
    """Raises ValueError."""
    text = told.get(field)
    if not isinstance(text, str) or not text:
        raise ValueError(f"{field} is no number")
    try:
        return int.from_bytes(urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)), "big")
    except (Base64Error, UnicodeEncodeError) as exc:
        raise ValueError(f"{field} is no number") from exc
