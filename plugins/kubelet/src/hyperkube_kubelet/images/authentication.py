"""How a registry is told who asks: what it challenges with, and what is answered.

Source: RFC 9110 (challenges), and the distribution project's docs/spec/auth (tokens).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from hyperkube_kubelet.images.errors import PullFailed
from hyperkube_kubelet.runtime.values import Credentials

__all__ = ["Challenge", "basic", "challenges", "token_in", "token_target"]

_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][\w-]*)(?:\s+|$)")
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z_][\w-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_CLIENT = "hk"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way of saying who asks."""

    scheme: str  # in lower case: basic, bearer
    parameters: dict[str, str]


def challenges(headers: Iterable[str]) -> list[Challenge]:
    """What headers `WWW-Authenticate` ask for, in their order."""
    found = []
    for text in headers:
        at = 0
        while match := _SCHEME.match(text, at):
            at = match.end()
            parameters: dict[str, str] = {}
            while parameter := _PARAMETER.match(text, at):
                at = parameter.end()
                quoted = re.sub(r"\\(.)", r"\1", parameter[2]) if parameter[2] is not None else parameter[3]
                parameters[parameter[1].lower()] = quoted
            found.append(Challenge(match[1].lower(), parameters))
    return found


def basic(credentials: Credentials) -> str:
    """The header's value that shows a name and a password."""
    pair = f"{credentials.username}:{credentials.password}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def token_target(challenge: Challenge, path: str, credentials: Credentials | None) -> tuple[str, str, bytes]:
    """Method, query of the realm, and body of the request for a token to read the repository `path`."""
    scopes = challenge.parameters.get("scope", f"repository:{path}:pull")
    service = challenge.parameters.get("service", "")
    if credentials is not None and credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "scope": scopes,
            "client_id": _CLIENT,
            "refresh_token": credentials.identity_token,
        }
        return "POST", "", urlencode(form).encode()
    query = [("service", service)] if service else []
    query += [("scope", scope) for scope in scopes.split()]
    return "GET", urlencode(query), b""


def token_in(body: bytes) -> str:
    """The token that an answer holds. Raises PullFailed."""
    try:
        document = json.loads(body)
        token = document.get("token") or document.get("access_token")
    except (ValueError, AttributeError) as exc:
        raise PullFailed("failed to authorize: unable to decode token response") from exc
    if not isinstance(token, str) or not token:
        raise PullFailed("failed to authorize: authorization server did not include a token in the response")
    return token
