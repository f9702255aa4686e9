"""From the claims of a verified token to its user.

Source: k8s.io/apiserver/plugin/pkg/authenticator/token/oidc.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.authn.jwt import TokenError
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.schema.exact import json_type

if TYPE_CHECKING:
    from hyperkube_apiserver.authn.oidc.terms import IssuerTerms

__all__ = ["user_of"]

Claims = Mapping[str, Any]

_CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


def user_of(claims: Claims, terms: IssuerTerms) -> Identity:
    """The user that a token stands for. Raises TokenError where it stands for none."""
    expressions = terms.expressions
    name = _username(claims, terms)
    groups = _groups(claims, terms)
    uid = ""
    if terms.uid.claim:
        uid = _text(claims, terms.uid.claim, f"parse uid claim {quoted(terms.uid.claim)}")
    elif expressions is not None:
        uid = expressions.uid(claims)
    extra: dict[str, tuple[str, ...]] = {}
    if isinstance(token_id := claims.get("jti"), str) and token_id:
        extra[_CREDENTIAL_ID] = (f"JTI={token_id}",)
    if expressions is not None:
        extra |= expressions.extra(claims)
    for claim, value in terms.required.items():
        _require(claims, claim, value)
    identity = Identity(name, uid, groups, extra)
    if expressions is not None:
        expressions.validate(claims, identity)
    return identity


def _username(claims: Claims, terms: IssuerTerms) -> str:
    claim = terms.username.claim
    if not claim:
        assert terms.expressions is not None
        return terms.expressions.username(claims)
    name = _text(claims, claim, f"parse username claims {quoted(claim)}")
    if claim == "email" and "email_verified" in claims:
        verified = claims["email_verified"]
        if not isinstance(verified, bool):
            why = f"json: cannot unmarshal {json_type(verified)} into Go value of type bool"
            raise TokenError(f"oidc: parse 'email_verified' claim: {why}")
        if not verified:
            raise TokenError("oidc: email not verified")
    return terms.username.prefix + name


def _groups(claims: Claims, terms: IssuerTerms) -> tuple[str, ...]:
    claim = terms.groups.claim
    if claim and claim in claims:
        value = claims[claim]
        groups = value if isinstance(value, list) else [value]
        if value is None:
            groups = []
        for group in groups:
            if not isinstance(group, str):
                why = f"json: cannot unmarshal {json_type(value)} into Go value of type string"
                raise TokenError(f"oidc: parse groups claim {quoted(claim)}: {why}")
        return tuple(terms.groups.prefix + group for group in groups)
    return terms.expressions.groups(claims) if terms.expressions is not None and not claim else ()


def _text(claims: Claims, claim: str, what: str) -> str:
    if claim not in claims:
        raise TokenError(f"oidc: {what}: claim not present")
    value = claims[claim]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TokenError(f"oidc: {what}: json: cannot unmarshal {json_type(value)} into Go value of type string")
    return value


def _require(claims: Claims, claim: str, wanted: str) -> None:
    if claim not in claims:
        raise TokenError(f"oidc: required claim {claim} not present in ID token")
    value = _text(claims, claim, f"parse claim {claim}")
    if value != wanted:
        raise TokenError(f"oidc: required claim {claim} value does not match. Got = {value}, want = {wanted}")
