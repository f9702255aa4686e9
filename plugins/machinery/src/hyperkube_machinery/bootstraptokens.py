"""Bootstrap tokens: what lets a machine into a cluster for the first time, kept in secrets of kube-system.

A token is `ID.SECRET`; its secret is called `bootstrap-token-ID`, and says what it may be used for and until when.
Source: k8s.io/cluster-bootstrap/token/{api,util}, util/secrets.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from hyperkube_machinery import meta, timestamps

__all__ = [
    "BOOTSTRAPPERS",
    "NAMESPACE",
    "PREFIX",
    "TYPE",
    "USER_PREFIX",
    "BootstrapToken",
    "is_bootstrap_token",
    "read_token",
    "signature",
    "split_token",
]

NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"
PREFIX = "bootstrap-token-"
USER_PREFIX = "system:bootstrap:"
BOOTSTRAPPERS = "system:bootstrappers"

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_NAME = re.compile(r"bootstrap-token-([a-z0-9]{6})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapToken:
    """What a secret says about its token."""

    id: str
    secret: str
    named_id: str  # the one in the secret's name; "" for another name
    expires: float | None = None  # seconds since the epoch; None: never
    may_authenticate: bool = False
    may_sign: bool = False
    groups: tuple[str, ...] | None = (BOOTSTRAPPERS,)  # None: they are no groups that a token may have

    def expired(self, now: float) -> bool:
        return self.expires is not None and now >= self.expires


def split_token(token: str) -> tuple[str, str] | None:
    """Id and secret of what looks like a bootstrap token."""
    match = _TOKEN.fullmatch(token)
    return (match[1], match[2]) if match is not None else None


def is_bootstrap_token(secret: Mapping[str, Any]) -> bool:
    """Whether a secret is of the type."""
    return secret.get("type") == TYPE


def read_token(secret: Mapping[str, Any]) -> BootstrapToken:
    """What a secret of the type says."""
    data = secret.get("data") or {}

    def text(key: str) -> str:
        try:
            return base64.b64decode(data.get(key) or "").decode("utf-8", "replace")
        except binascii.Error:
            return ""

    match = _NAME.fullmatch(meta.name(secret))
    return BootstrapToken(
        id=text("token-id"),
        secret=text("token-secret"),
        named_id=match[1] if match is not None else "",
        expires=_expiry(text("expiration")),
        may_authenticate=text("usage-bootstrap-authentication") == "true",
        may_sign=text("usage-bootstrap-signing") == "true",
        groups=_groups(text("auth-extra-groups")),
    )


def _expiry(text: str) -> float | None:
    """A time that can't be read has passed."""
    if not text:
        return None
    try:
        return timestamps.parse(text)
    except ValueError:
        return float("-inf")


def _groups(text: str) -> tuple[str, ...] | None:
    if not text:
        return (BOOTSTRAPPERS,)
    more = text.split(",")
    if not all(_GROUP.fullmatch(group) for group in more):
        return None
    return tuple(sorted({BOOTSTRAPPERS, *more}))


def signature(content: str, token: BootstrapToken) -> str:
    """The detached JWS (HS256) by which whoever has the token knows `content`. Source: cluster-bootstrap/token/jws"""
    header = _base64url(json.dumps({"alg": "HS256", "kid": token.id}, separators=(",", ":")).encode())
    signed = f"{header}.{_base64url(content.encode())}".encode()
    return f"{header}..{_base64url(hmac.new(token.secret.encode(), signed, sha256).digest())}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
