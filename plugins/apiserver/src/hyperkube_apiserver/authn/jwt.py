"""Signed tokens: JSON Web Tokens in their compact form.

    HEADER.PAYLOAD.SIGNATURE      each in base64url without padding; the first two are JSON objects

Only what carries a signature of a known key, in the one algorithm that this key is for, is ever read as true.
Source: RFC 7515, 7519; k8s.io/kubernetes/pkg/serviceaccount (jwt.go).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Any

import orjson

from hyperkube_apiserver.authn.keys import PublicKey, SigningKey, base64url
from hyperkube_machinery.encoding import encode_sorted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["INVALID", "KeySet", "TokenError", "bytes_segment", "claimed_issuer", "json_segment", "signed"]

INVALID = "invalid bearer token"
"""What is said of a token that nobody knows anything about."""

_LONGEST = 64 << 10  # characters; what TLS and the headers' own limit let through is never longer

Tree = dict[str, Any]


class TokenError(Exception):
    """A token is refused. The text is for logs and reviews, and never shows the token."""


def signed(key: SigningKey, claims: Mapping[str, Any]) -> str:
    """`claims` as a token."""
    header = {"alg": key.public.algorithm, "kid": key.public.id}
    head = f"{_segment(header)}.{_segment(claims)}"
    return f"{head}.{base64url(key.sign(head.encode('ascii')))}"


def _segment(tree: Mapping[str, Any]) -> str:
    return base64url(encode_sorted(tree))


def claimed_issuer(token: str) -> str | None:
    """Who issued `token`, if that is true; None for what is no token. Proves nothing."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST:
        return None
    issuer = (json_segment(parts[1]) or {}).get("iss")
    return issuer if isinstance(issuer, str) else None


class KeySet:
    """The keys whose tokens are believed."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self.keys = tuple({key.id: key for key in keys}.values())
        self._by_id = {key.id: key for key in self.keys}

    def claims(self, token: str) -> Tree:
        """What `token` says, its signature verified. Raises TokenError."""
        head, _, tail = token.rpartition(".")
        parts = head.split(".")
        header = json_segment(parts[0])
        payload = json_segment(parts[1]) if len(parts) == 2 else None
        signature = bytes_segment(tail)
        if header is None or payload is None or signature is None:
            raise TokenError(INVALID)
        name = header.get("kid") or ""
        if "crit" in header or not isinstance(name, str):
            raise TokenError(INVALID)
        keys = self.keys if not name else [self._by_id[name]] if name in self._by_id else []
        if not keys:
            raise TokenError("invalid signature, no keys found")
        text = head.encode("ascii")
        for key in keys:
            if header.get("alg") == key.algorithm and key.verifies(signature, text):
                return payload
        raise TokenError("invalid signature, no key fits")

    def document(self) -> Tree:
        """The keys as a JSON Web Key Set."""
        return {"keys": [key.jwk() for key in self.keys]}


def json_segment(segment: str) -> Tree | None:
    """The object in a segment of a token; None where there is none."""
    data = bytes_segment(segment)
    if data is None:
        return None
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return tree if isinstance(tree, dict) else None


def bytes_segment(segment: str) -> bytes | None:
    """The bytes of a segment; None unless it is written as it is to be, so that no two texts mean the same."""
    try:
        data = urlsafe_b64decode(segment.encode("ascii") + b"=" * (-len(segment) % 4))
    except (UnicodeEncodeError, Base64Error, ValueError):
        return None
    return data if base64url(data) == segment else None
