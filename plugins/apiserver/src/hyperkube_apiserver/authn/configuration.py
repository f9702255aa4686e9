"""What an AuthenticationConfiguration says: issuers of tokens, and who may be anonymous where.

Source: k8s.io/apiserver/pkg/apis/apiserver (types, validation).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyperkube_apiserver.authn.authenticator import Anonymity
from hyperkube_apiserver.authn.oidc.keys import ALGORITHMS
from hyperkube_apiserver.authn.oidc.terms import ClaimMapping, IssuerTerms
from hyperkube_apiserver.authz.extrakeys import extra_key_errors
from hyperkube_apiserver.configfiles import Section, Shape, read_document
from hyperkube_machinery.tls import CertificateError, client_context

if TYPE_CHECKING:
    from hyperkube_apiserver.authn.oidc.expressions import Compiled, Expressions

__all__ = ["AuthenticationSettings", "read_authentication"]

_VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_PREFIXED: Shape = {"claim": "text", "prefix": "text", "expression": "text"}
_SHAPE: dict[str, Shape] = {
    "jwt": [
        {
            "issuer": {
                "url": "text",
                "discoveryURL": "text",
                "certificateAuthority": "text",
                "audiences": ["text"],
                "audienceMatchPolicy": "text",
                "egressSelectorType": "text",
            },
            "claimValidationRules": [
                {"claim": "text", "requiredValue": "text", "expression": "text", "message": "text"}
            ],
            "claimMappings": {
                "username": _PREFIXED,
                "groups": _PREFIXED,
                "uid": {"claim": "text", "expression": "text"},
                "extra": [{"key": "text", "valueExpression": "text"}],
            },
            "userValidationRules": [{"expression": "text", "message": "text"}],
        }
    ],
    "anonymous": {"enabled": "flag", "conditions": [{"path": "text"}]},
}
_ANY = "MatchAny"
_OWN_DOMAINS = ("k8s.io", "kubernetes.io")


@dataclass(frozen=True, slots=True)
class AuthenticationSettings:
    """What the file says."""

    issuers: tuple[IssuerTerms, ...]
    anonymity: Anonymity | None  # None: it says nothing of that


def read_authentication(path: Path, *, own_issuers: Collection[str]) -> AuthenticationSettings:
    """Read a file; the server's `own_issuers` of tokens can't be in it. Raises ConfigFileError."""
    document = read_document(path, "AuthenticationConfiguration", _VERSIONS, _SHAPE)
    issuers: list[IssuerTerms] = []
    for one in document.sections("jwt"):
        terms = _issuer(one, own_issuers)
        if any(other.url == terms.url for other in issuers):
            raise one.duplicate("issuer.url", terms.url)
        if terms.discovery_url and any(other.discovery_url == terms.discovery_url for other in issuers):
            raise one.duplicate("issuer.discoveryURL", terms.discovery_url)
        issuers.append(terms)
    return AuthenticationSettings(tuple(issuers), _anonymity(document))


def _anonymity(document: Section) -> Anonymity | None:
    told = document.section("anonymous")
    if told is None:
        return None
    paths = tuple(one.text("path") for one in told.sections("conditions"))
    enabled = told.flag("enabled")
    if paths and not enabled:
        raise told.invalid("conditions", list(paths), "enabled should be set to true when conditions are defined")
    return Anonymity(enabled, frozenset(paths))


def _issuer(one: Section, own_issuers: Collection[str]) -> IssuerTerms:
    issuer = one.section("issuer")
    if issuer is None:
        raise one.required("issuer.url")
    url, discovery_url = issuer.text("url"), issuer.text("discoveryURL")
    if not url:
        raise issuer.required("url")
    if url in own_issuers:
        listed = " ".join(sorted(own_issuers))
        raise issuer.invalid("url", url, f"URL must not overlap with disallowed issuers: [{listed}]")
    _check_url(issuer, "url", url)
    if discovery_url:
        if url.rstrip("/") == discovery_url.rstrip("/"):
            raise issuer.invalid("discoveryURL", discovery_url, "discoveryURL must be different from URL")
        _check_url(issuer, "discoveryURL", discovery_url)
    if issuer.text("egressSelectorType"):
        raise issuer.invalid(
            "egressSelectorType", issuer.text("egressSelectorType"), "every connection is made directly"
        )
    mappings = one.section("claimMappings")
    if mappings is None:
        raise one.required("claimMappings.username", "claim or expression is required")
    rules = one.sections("claimValidationRules")
    username = _mapping(mappings, "username", needed=True)
    return IssuerTerms(
        url=url,
        discovery_url=discovery_url,
        audiences=_audiences(issuer),
        ca_pem=_authority(issuer),
        algorithms=ALGORITHMS,
        username=username,
        groups=_mapping(mappings, "groups"),
        uid=_mapping(mappings, "uid", prefixed=False),
        required=_required(rules),
        expressions=_expressions(mappings, rules, one.sections("userValidationRules")),
    )


def _check_url(issuer: Section, field: str, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise issuer.invalid(field, url, str(exc)) from exc
    if parts.scheme != "https":
        raise issuer.invalid(field, url, "URL scheme must be https")
    if "@" in parts.netloc:
        raise issuer.invalid(field, url, "URL must not contain a username or password")
    if parts.query:
        raise issuer.invalid(field, url, "URL must not contain a query")
    if parts.fragment:
        raise issuer.invalid(field, url, "URL must not contain a fragment")


def _audiences(issuer: Section) -> tuple[str, ...]:
    audiences = issuer.texts("audiences")
    if not audiences:
        raise issuer.required("audiences", f"at least one {issuer.at('audiences')} is required")
    for index, audience in enumerate(audiences):
        if not audience:
            raise issuer.required(f"audiences[{index}]")
        if audience in audiences[:index]:
            raise issuer.duplicate(f"audiences[{index}]", audience)
    policy = issuer.text("audienceMatchPolicy")
    if len(audiences) > 1 and policy != _ANY:
        why = "audienceMatchPolicy must be MatchAny for multiple audiences"
        raise issuer.invalid("audienceMatchPolicy", policy, why)
    if policy not in ("", _ANY):
        why = "audienceMatchPolicy must be empty or MatchAny for single audience"
        raise issuer.invalid("audienceMatchPolicy", policy, why)
    return audiences


def _authority(issuer: Section) -> bytes | None:
    text = issuer.text("certificateAuthority")
    if not text:
        return None
    try:
        client_context(ca_pem=text.encode())
    except (CertificateError, UnicodeDecodeError) as exc:
        raise issuer.invalid("certificateAuthority", "<omitted>", str(exc)) from exc
    return text.encode()


def _mapping(mappings: Section, field: str, *, needed: bool = False, prefixed: bool = True) -> ClaimMapping:
    told = mappings.section(field)
    claim, expression = (told.text("claim"), told.text("expression")) if told is not None else ("", "")
    if claim and expression:
        raise mappings.invalid(field, "", "claim and expression can't both be set")
    if not claim and not expression and needed:
        raise mappings.required(field, "claim or expression is required")
    if told is None or not prefixed:
        return ClaimMapping(claim=claim)
    if expression and told.tree.get("prefix") is not None:
        raise told.invalid("prefix", told.text("prefix"), "may not be specified when expression is set")
    if claim and told.tree.get("prefix") is None:
        why = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
        raise told.required("prefix", why)
    return ClaimMapping(claim=claim, prefix=told.text("prefix"))


def _required(rules: list[Section]) -> dict[str, str]:
    required: dict[str, str] = {}
    for rule in rules:
        claim, expression = rule.text("claim"), rule.text("expression")
        if claim and expression:
            raise rule.invalid("", claim, "claim and expression can't both be set")
        if not claim and not expression:
            raise rule.required("", "claim or expression is required")
        if claim:
            if rule.text("message"):
                raise rule.invalid("message", rule.text("message"), "may not be specified when claim is set")
            if claim in required:
                raise rule.duplicate("claim", claim)
            required[claim] = rule.text("requiredValue")
        elif rule.text("requiredValue"):
            raise rule.invalid(
                "requiredValue", rule.text("requiredValue"), "may not be specified when expression is set"
            )
    return required


def _expressions(mappings: Section, claim_rules: list[Section], user_rules: list[Section]) -> Expressions | None:
    """What is said in CEL, compiled; None where nothing is: the language is not imported then."""
    said = [mappings.section(field) for field in ("username", "groups", "uid")]
    extras = mappings.sections("extra")
    by_claims = [rule for rule in claim_rules if rule.text("expression")]
    if not (extras or by_claims or user_rules or any(one is not None and one.text("expression") for one in said)):
        return None
    from hyperkube_apiserver.authn.oidc.expressions import (
        BadExpression,
        Expressions,
        ExtraExpression,
        Rule,
        compile_claims,
        compile_user,
        uses_claim,
    )

    def compiled(section: Section, field: str, *, about_user: bool = False, condition: bool = False) -> Compiled:
        text = section.text(field)
        try:
            return compile_user(text) if about_user else compile_claims(text, condition=condition)
        except BadExpression as exc:
            raise section.invalid(field, text, str(exc)) from exc

    def mapped(section: Section | None) -> Compiled | None:
        return compiled(section, "expression") if section is not None and section.text("expression") else None

    _check_different(by_claims)
    _check_different(user_rules)
    _check_extras(extras)
    name, group_names, user_id = map(mapped, said)
    extra = [ExtraExpression(one.text("key"), compiled(one, "valueExpression")) for one in extras]
    rules = [Rule(compiled(rule, "expression", condition=True), rule.text("message")) for rule in by_claims]
    checks = [Rule(compiled(rule, "expression", about_user=True), rule.text("message")) for rule in user_rules]
    if name is not None and uses_claim(name, "email"):
        others = [name, *(one.values for one in extra), *(rule.condition for rule in rules)]
        if not any(uses_claim(one, "email_verified") for one in others):
            why = (
                "claims.email_verified must be used in claimMappings.username.expression or "
                "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is "
                "used in claimMappings.username.expression"
            )
            raise mappings.invalid("username.expression", name.checked.text, why)
    return Expressions(
        name=name, group_names=group_names, user_id=user_id, extras=extra, claim_rules=rules, user_rules=checks
    )


def _check_different(rules: list[Section]) -> None:
    seen: set[str] = set()
    for rule in rules:
        text = rule.text("expression")
        if not text:
            raise rule.required("expression")
        if text in seen:
            raise rule.duplicate("expression", text)
        seen.add(text)


def _check_extras(extras: list[Section]) -> None:
    seen: set[str] = set()
    for one in extras:
        key = one.text("key")
        for error in extra_key_errors(one.at("key"), key):
            raise one.wrong(error)
        if key != key.lower():
            raise one.invalid("key", key, "must be lowercase")
        domain = key.partition("/")[0]
        if any(domain == own or domain.endswith(f".{own}") for own in _OWN_DOMAINS):
            why = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
            raise one.invalid("key", key, why)
        if key in seen:
            raise one.duplicate("key", key)
        if not one.text("valueExpression"):
            raise one.required("valueExpression")
        seen.add(key)
