"""Bearer tokens of browsers, which can't set headers on a WebSocket: one of the protocols that they offer is a token.

    Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.TOKEN, v5.channel.k8s.io

Source: k8s.io/apiserver/pkg/authentication/request/websocket.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING

from hyperkube_apiserver.authn.jwt import TokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HEADER", "offered_token"]

HEADER = "sec-websocket-protocol"
_PREFIX = "base64url.bearer.authorization.k8s.io."
_UPGRADE = re.compile(r"(^|.*,\s*)upgrade($|\s*,)")
_TEXT = re.compile(r"[A-Za-z0-9_-]*")


def offered_token(headers: Mapping[str, str]) -> tuple[str, str]:
    """The token that is offered, "" if there is none, and what is offered besides.

    `headers` have names in lower case. Raises TokenError.
    """
    if headers.get("upgrade", "").lower() != "websocket" or not _UPGRADE.match(headers.get("connection", "").lower()):
        return "", ""
    offered = [protocol.strip() for protocol in headers.get(HEADER, "").split(",")]
    tokens = [protocol[len(_PREFIX) :] for protocol in offered if protocol.startswith(_PREFIX)]
    others = [protocol for protocol in offered if not protocol.startswith(_PREFIX)]
    if not tokens:
        return "", ""
    if len(tokens) > 1:
        raise TokenError("multiple base64.bearer.authorization tokens specified")
    token = _decoded(tokens[0])
    if token and not others:  # one must be left that the server can choose
        raise TokenError("missing additional subprotocol")
    return token, ",".join(others)


def _decoded(text: str) -> str:
    if not _TEXT.fullmatch(text) or len(text) % 4 == 1:
        raise TokenError("invalid base64.bearer.authorization token encoding")
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except UnicodeDecodeError as exc:
        raise TokenError("invalid base64.bearer.authorization token") from exc
