"""AuthenticationConfigurations: what they say, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hyperkube_apiserver.authn import Identity, TokenError
from hyperkube_apiserver.authn.configuration import AuthenticationSettings, read_authentication
from hyperkube_apiserver.authn.oidc.claims import user_of
from hyperkube_apiserver.configfiles import ConfigFileError

OWN = frozenset(("https://own.example",))
ISSUER = {"url": "https://i.example", "audiences": ["a"]}
MAPPINGS: dict[str, Any] = {"username": {"claim": "sub", "prefix": ""}}


def read(path: Path, jwt: Any = (), **more: Any) -> AuthenticationSettings:
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [*jwt],
        **more,
    }
    file = path / "authentication.yaml"
    file.write_text(yaml.safe_dump(document))
    return read_authentication(file, own_issuers=OWN)


def one(issuer: Any = (), mappings: Any = (), **more: Any) -> dict[str, Any]:
    return {"issuer": {**ISSUER, **dict(issuer)}, "claimMappings": {**MAPPINGS, **dict(mappings)}, **more}


def test_claims_prefixes_and_required_values(tmp_path: Path) -> None:
    rules = [{"claim": "team", "requiredValue": "x"}]
    mappings = {"username": {"claim": "name", "prefix": "u:"}, "groups": {"claim": "roles", "prefix": "g:"}}
    (terms,) = read(tmp_path, [one(mappings=mappings, claimValidationRules=rules)]).issuers
    assert terms.expressions is None, "nothing has to be evaluated"
    assert user_of({"name": "j", "roles": ["r"], "team": "x"}, terms) == Identity("u:j", groups=("g:r",))


EXPRESSIONS = one(
    mappings={
        "username": {"expression": "claims.email"},
        "groups": {"expression": "claims.roles.split(',')"},
        "uid": {"expression": "claims.sub"},
        "extra": [{"key": "acme.io/tenant", "valueExpression": "claims.tenant"}],
    },
    claimValidationRules=[{"expression": "claims.email_verified == true", "message": "verify your mail"}],
    userValidationRules=[{"expression": "!user.username.startsWith('system:')", "message": "reserved"}],
)
CLAIMS = {"email": "j@x", "email_verified": True, "roles": "a,b", "sub": "7", "tenant": "t"}


def test_expressions_make_users(tmp_path: Path) -> None:
    (terms,) = read(tmp_path, [EXPRESSIONS]).issuers
    assert user_of(CLAIMS, terms) == Identity("j@x", "7", ("a", "b"), {"acme.io/tenant": ("t",)})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"email_verified": False}, "validation expression 'claims.email_verified == true' failed: verify your mail"),
        ({"email": "system:admin"}, "startsWith('system:')' failed: reserved"),
        ({"email": ""}, "empty username via CEL expression is not allowed"),
        ({"email": 7}, "username claim expression must return a string"),
        ({"roles": 7}, "error evaluating group claim expression: expression 'claims.roles.split(',')'"),
        ({"tenant": [1]}, "expression must return a string or a list of strings"),
    ],
)
def test_expressions_refuse(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    (terms,) = read(tmp_path, [EXPRESSIONS]).issuers
    with pytest.raises(TokenError) as caught:
        user_of({**CLAIMS, **changes}, terms)
    assert reason in str(caught.value)


def test_who_may_be_anonymous_where(tmp_path: Path) -> None:
    assert read(tmp_path).anonymity is None
    told = read(tmp_path, anonymous={"enabled": True, "conditions": [{"path": "/livez"}]}).anonymity
    assert told is not None
    assert (told.covers("/livez"), told.covers("/livez/x"), told.covers("/api")) == (True, False, False)
    none = read(tmp_path, anonymous={"enabled": False}).anonymity
    assert none is not None
    assert not none.covers("/livez")


@pytest.mark.parametrize(
    ("jwt", "more", "reason"),
    [
        ([one({"url": ""})], {}, "jwt[0].issuer.url: Required value"),
        ([one({"url": "http://x"})], {}, 'jwt[0].issuer.url: Invalid value: "http://x": URL scheme must be https'),
        ([one({"url": "https://u:p@x"})], {}, "URL must not contain a username or password"),
        ([one({"url": "https://x?y"})], {}, "URL must not contain a query"),
        ([one({"url": "https://own.example"})], {}, "URL must not overlap with disallowed issuers"),
        ([one({"discoveryURL": "https://i.example/"})], {}, "discoveryURL must be different from URL"),
        ([one({"audiences": []})], {}, "at least one jwt[0].issuer.audiences is required"),
        ([one({"audiences": ["a", "a"]})], {}, 'jwt[0].issuer.audiences[1]: Duplicate value: "a"'),
        ([one({"audiences": ["a", "b"]})], {}, "audienceMatchPolicy must be MatchAny for multiple audiences"),
        ([one({"certificateAuthority": "x"})], {}, "jwt[0].issuer.certificateAuthority: Invalid value"),
        ([one(), one()], {}, 'jwt[1].issuer.url: Duplicate value: "https://i.example"'),
        ([one(mappings={"username": {}})], {}, "jwt[0].claimMappings.username: Required value: claim or expression"),
        ([one(mappings={"username": {"claim": "a"}})], {}, "prefix is required when claim is set"),
        ([one(mappings={"username": {"claim": "a", "expression": "b"}})], {}, "claim and expression can't both be set"),
        ([one(mappings={"username": {"expression": "claim.x"}})], {}, "undeclared reference to 'claim'"),
        ([one(mappings={"username": {"expression": "claims.email"}})], {}, "claims.email_verified must be used in"),
        ([one(mappings={"extra": [{"key": "x", "valueExpression": "'y'"}]})], {}, "must be a domain-prefixed path"),
        ([one(mappings={"extra": [{"key": "a.k8s.io/x", "valueExpression": "'y'"}]})], {}, "reserved for Kubernetes"),
        ([one(claimValidationRules=[{"expression": "1"}])], {}, "must evaluate to bool"),
        ([one(claimValidationRules=[{}])], {}, "jwt[0].claimValidationRules[0]: Required value"),
        ([one(userValidationRules=[{"expression": "claims.x"}])], {}, "undeclared reference to 'claims'"),
        ([one(userValidationRules=[{"expression": "true"}] * 2)], {}, "Duplicate value"),
        ([one({"urls": "x"})], {}, 'strict decoding error: unknown field "jwt[0].issuer.urls"'),
        ([one({"url": 7})], {}, "must be a string"),
        ([7], {}, "must be a list of objects"),
        ([], {"anonymous": {"enabled": False, "conditions": [{"path": "/x"}]}}, "enabled should be set to true"),
        ([], {"kind": "Other"}, "is registered for version"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, jwt: Any, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        read(tmp_path, jwt, **more)
    assert reason in str(caught.value)
