"""What an issuer of tokens is trusted with, and how a user is made of what its tokens say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperkube_apiserver.authn.oidc.expressions import Expressions

__all__ = ["ClaimMapping", "IssuerTerms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimMapping:
    """Which claim says something, and what is put before it; "" where no claim does."""

    claim: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerTerms:
    """One issuer."""

    url: str
    audiences: tuple[str, ...]  # a token must be for one of them
    discovery_url: str = ""
    ca_pem: bytes | None = None  # None: the system's authorities
    algorithms: frozenset[str] = frozenset(("RS256",))
    username: ClaimMapping = ClaimMapping(claim="sub")
    groups: ClaimMapping = ClaimMapping()
    uid: ClaimMapping = ClaimMapping()
    required: Mapping[str, str]  # claims, and the values that they must have
    expressions: Expressions | None = None  # which say what claims don't
