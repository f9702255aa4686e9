"""Tokens of OpenID Connect providers: keys, discovery, what is verified, and the users that claims make."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_apiserver.authn import Identity, TokenError
from hyperkube_apiserver.authn.oidc.claims import user_of
from hyperkube_apiserver.authn.oidc.distributed import DistributedClaim
from hyperkube_apiserver.authn.oidc.keys import ALGORITHMS, read_keys
from hyperkube_apiserver.authn.oidc.provider import FetchFailed, Provider
from hyperkube_apiserver.authn.oidc.terms import ClaimMapping, IssuerTerms
from hyperkube_apiserver.authn.oidc.tokens import IssuedTokens
from hyperkube_apiserver.authz.metrics import AccessMetrics
from hyperkube_machinery.serving.exposition import exposition
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

ISSUER = "https://issuer.example"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVES = {
    "ES256": (ec.generate_private_key(ec.SECP256R1()), "P-256", 32),
    "ES384": (ec.generate_private_key(ec.SECP384R1()), "P-384", 48),
    "ES512": (ec.generate_private_key(ec.SECP521R1()), "P-521", 66),
}
DIGESTS: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey, name: str) -> dict[str, str]:
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": name, "n": number(public.n), "e": number(public.e)}


def ec_jwk(algorithm: str) -> dict[str, str]:
    key, curve, size = CURVES[algorithm]
    public = key.public_key().public_numbers()
    return {"kty": "EC", "kid": algorithm, "crv": curve, "x": number(public.x, size), "y": number(public.y, size)}


KEYS = {"keys": [rsa_jwk(RSA, "rsa"), *map(ec_jwk, CURVES), {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}, 7]}


def sign(data: bytes, algorithm: str, key: rsa.RSAPrivateKey = RSA) -> bytes:
    digest = DIGESTS[algorithm[2:]]
    if algorithm.startswith("RS"):
        return key.sign(data, padding.PKCS1v15(), digest)
    if algorithm.startswith("PS"):
        return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    signer, _, size = CURVES[algorithm]
    r, s = decode_dss_signature(signer.sign(data, ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def token(
    claims: dict[str, Any], algorithm: str = "RS256", key_id: str = "", *, header: dict[str, Any] | None = None
) -> str:
    head = {"alg": algorithm, "kid": key_id or ("rsa" if algorithm[0] != "E" else algorithm), **(header or {})}
    text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(sign(text.encode(), algorithm))}"


class World:
    """The issuer's documents."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {
            f"{ISSUER}/.well-known/openid-configuration": {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"},
            f"{ISSUER}/keys": KEYS,
        }
        self.fetched: list[str] = []
        self.tokens: dict[str, str] = {}

    async def fetch(self, url: str, token: str = "") -> bytes:
        self.fetched.append(url)
        if token:
            self.tokens[url] = token
        if url not in self.documents:
            raise FetchFailed(f'Get "{url}": connection refused')
        found = self.documents[url]
        return found if isinstance(found, bytes) else json.dumps(found).encode()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def terms(**changes: Any) -> IssuerTerms:
    given: dict[str, Any] = {"url": ISSUER, "audiences": ("cluster",), "algorithms": ALGORITHMS, "required": {}}
    return IssuerTerms(**{**given, **changes})


def tokens_of(world: World, clock: VirtualClock, **changes: Any) -> IssuedTokens:
    return IssuedTokens(terms(**changes), Provider(ISSUER, world.fetch, clock), clock, audiences=("api",))


def claims(clock: VirtualClock, **changes: Any) -> dict[str, Any]:
    made = {"iss": ISSUER, "aud": "cluster", "sub": "jane", "exp": clock.now() + 600, **changes}
    return {name: value for name, value in made.items() if value is not None}


async def who(tokens: IssuedTokens, text: str) -> Identity | None:
    found = tokens.authenticate(text, ("api",))
    found = await found if isinstance(found, Awaitable) else found
    return found[0] if found is not None else None


async def why_not(tokens: IssuedTokens, text: str) -> str:
    with pytest.raises(TokenError) as caught:
        await who(tokens, text)
    return str(caught.value)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_a_token_is_believed_whichever_algorithm_signed_it(
    world: World, clock: VirtualClock, algorithm: str
) -> None:
    tokens = tokens_of(world, clock)
    assert await who(tokens, token(claims(clock), algorithm)) == Identity("jane", groups=("system:authenticated",))
    begun = token(claims(clock), algorithm)
    forged = f"{begun.rpartition('.')[0]}.{b64(bytes(len(sign(b'', algorithm))))}"
    assert "failed to verify id token signature" in await why_not(tokens, forged)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (lambda clock: token(claims(clock, aud="other")), 'oidc: expected audience "cluster" got ["other"]'),
        (lambda clock: token(claims(clock, aud=None)), 'oidc: expected audience "cluster" got []'),
        (lambda clock: token(claims(clock, exp=clock.now() - 1)), "oidc: token is expired (Token Expiry: "),
        (lambda clock: token(claims(clock, exp=None)), "oidc: token is expired"),
        (lambda clock: token(claims(clock, exp="soon")), "exp is no number"),
        (lambda clock: token(claims(clock, nbf=clock.now() + 120)), "before the nbf (not before) time"),
        (lambda clock: token(claims(clock, sub=None)), 'oidc: parse username claims "sub": claim not present'),
        (
            lambda clock: token(claims(clock, sub=7)),
            "cannot unmarshal number into Go struct field idToken.sub of type string",
        ),
        (lambda clock: token(claims(clock), header={"crit": ["exp"]}), "oidc: malformed jwt"),
        (lambda clock: token(claims(clock), header={"alg": "none"}), "unsupported algorithm"),
        (lambda clock: token(claims(clock), header={"alg": "HS256"}), "unsupported algorithm"),
        (lambda clock: token(claims(clock), header={"alg": "RS512"}), "failed to verify id token signature"),
        (lambda clock: token(claims(clock), "ES256", "ES384"), "failed to verify id token signature"),
        (lambda clock: token(claims(clock), key_id="secret"), "failed to verify id token signature"),
    ],
)
async def test_tokens_that_do_not_count(world: World, clock: VirtualClock, text: Any, reason: str) -> None:
    assert reason in await why_not(tokens_of(world, clock), text(clock))


async def test_tokens_that_are_verified_are_counted(world: World, clock: VirtualClock) -> None:
    registry = Registry()
    observe = AccessMetrics(registry, clock, "here").issuer(ISSUER)
    provider = Provider(ISSUER, world.fetch, clock)
    tokens = IssuedTokens(terms(), provider, clock, audiences=("api",), observe=observe)
    good = token(claims(clock))
    for _ in range(2):
        assert await who(tokens, good) is not None, "the second time it is remembered"
    await why_not(tokens, token(claims(clock, aud="other")))
    told = b"".join([part async for part in exposition(registry)]).decode()
    prefix = "apiserver_authentication_jwt_authenticator_latency_seconds_count"
    for result in ("success", "failure"):
        (line,) = (line for line in told.splitlines() if line.startswith(f'{prefix}{{result="{result}"'))
        assert line.endswith(" 1")
        assert ISSUER not in line


async def test_only_the_algorithms_that_are_allowed_count(world: World, clock: VirtualClock) -> None:
    tokens = tokens_of(world, clock, algorithms=frozenset(("RS256",)))
    assert 'expected ["RS256"] got "ES256"' in await why_not(tokens, token(claims(clock), "ES256"))


async def test_tokens_of_others_are_left_to_others(world: World, clock: VirtualClock) -> None:
    tokens = tokens_of(world, clock)
    for text in ("", "x", "a.b.c", token(claims(clock, iss="https://other.example")), token(claims(clock, iss=7))):
        assert tokens.authenticate(text, ("api",)) is None
    assert tokens.authenticate(token(claims(clock)), ("vault",)) is None, "it is for this server alone"
    assert world.fetched == []


async def test_keys_are_fetched_once_and_again_for_one_that_nobody_knows(world: World, clock: VirtualClock) -> None:
    tokens = tokens_of(world, clock)
    await who(tokens, token(claims(clock)))
    await who(tokens, token(claims(clock, jti="2")))
    assert len(world.fetched) == 2, "the discovery document and the keys"
    begun = {"alg": "RS256", "kid": "new"}
    text = f"{b64(json.dumps(begun).encode())}.{b64(json.dumps(claims(clock)).encode())}"
    rotated = f"{text}.{b64(sign(text.encode(), 'RS256', OTHER_RSA))}"
    assert "failed to verify" in await why_not(tokens, rotated)
    assert len(world.fetched) == 2, "strangers can't have them fetched all the time"
    world.documents[f"{ISSUER}/keys"] = {"keys": [rsa_jwk(OTHER_RSA, "new")]}
    await clock.advance(2)
    assert await who(tokens, rotated) is not None
    assert "failed to verify" in await why_not(tokens, token(claims(clock, jti="3"))), "the old key is gone"


async def test_an_issuer_that_cannot_be_reached_is_asked_again_later(world: World, clock: VirtualClock) -> None:
    documents, world.documents = world.documents, {}
    tokens = tokens_of(world, clock)
    assert await why_not(tokens, token(claims(clock))) == "oidc: authenticator not initialized"
    world.documents = documents
    assert await why_not(tokens, token(claims(clock))) == "oidc: authenticator not initialized"
    await clock.advance(11)
    assert await who(tokens, token(claims(clock))) is not None


@pytest.mark.parametrize(
    "document",
    [{"issuer": "https://evil.example", "jwks_uri": f"{ISSUER}/keys"}, {"issuer": ISSUER}, [], b"<html>", {}],
)
async def test_a_wrong_discovery_document_is_not_believed(world: World, clock: VirtualClock, document: Any) -> None:
    world.documents[f"{ISSUER}/.well-known/openid-configuration"] = document
    tokens = tokens_of(world, clock)
    assert await why_not(tokens, token(claims(clock))) == "oidc: authenticator not initialized"


async def test_a_token_is_not_believed_longer_than_it_lasts(world: World, clock: VirtualClock) -> None:
    tokens = tokens_of(world, clock)
    text = token(claims(clock, exp=clock.now() + 5))
    assert await who(tokens, text) is not None
    await clock.advance(6)
    assert "token is expired" in await why_not(tokens, text)


@pytest.mark.parametrize(
    ("told", "changes", "expected"),
    [
        ({"sub": "jane"}, {"username": ClaimMapping(claim="sub", prefix="oidc:")}, Identity("oidc:jane")),
        ({"email": "j@x", "email_verified": True}, {"username": ClaimMapping(claim="email")}, Identity("j@x")),
        ({"sub": "j", "groups": "one"}, {"groups": ClaimMapping(claim="groups")}, Identity("j", groups=("one",))),
        (
            {"sub": "j", "groups": ["a", "b"]},
            {"groups": ClaimMapping(claim="groups", prefix="g:")},
            Identity("j", groups=("g:a", "g:b")),
        ),
        ({"sub": "j"}, {"groups": ClaimMapping(claim="groups")}, Identity("j")),
        ({"sub": "j", "id": "7"}, {"uid": ClaimMapping(claim="id")}, Identity("j", "7")),
        (
            {"sub": "j", "jti": "t1"},
            {},
            Identity("j", extra={"authentication.kubernetes.io/credential-id": ("JTI=t1",)}),
        ),
        ({"sub": "j", "team": "x"}, {"required": {"team": "x"}}, Identity("j")),
    ],
)
def test_claims_make_users(told: dict[str, Any], changes: dict[str, Any], expected: Identity) -> None:
    assert user_of(told, terms(**changes)) == expected


@pytest.mark.parametrize(
    ("told", "changes", "reason"),
    [
        ({"email": "j", "email_verified": False}, {"username": ClaimMapping(claim="email")}, "email not verified"),
        ({"email": "j", "email_verified": "true"}, {"username": ClaimMapping(claim="email")}, "parse 'email_verified'"),
        ({"sub": "j", "groups": [1]}, {"groups": ClaimMapping(claim="groups")}, 'parse groups claim "groups"'),
        ({"sub": "j"}, {"uid": ClaimMapping(claim="id")}, 'parse uid claim "id": claim not present'),
        ({"sub": "j"}, {"required": {"team": "x"}}, "required claim team not present in ID token"),
        ({"sub": "j", "team": "y"}, {"required": {"team": "x"}}, "value does not match. Got = y, want = x"),
    ],
)
def test_claims_that_make_none(told: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(TokenError, match=reason):
        user_of(told, terms(**changes))


GROUPS_URL = "https://groups.example/of?user=jane"
ELSEWHERE: dict[str, Any] = {
    "_claim_names": {"groups": "directory"},
    "_claim_sources": {"directory": {"endpoint": GROUPS_URL, "access_token": "let-me-in"}},
}


def tokens_with_groups_elsewhere(world: World, clock: VirtualClock) -> IssuedTokens:
    wanted = terms(groups=ClaimMapping(claim="groups", prefix="g:"))
    provider = Provider(ISSUER, world.fetch, clock)
    groups = DistributedClaim("groups", wanted, provider, world.fetch, clock)
    return IssuedTokens(wanted, provider, clock, audiences=("api",), groups=groups)


async def test_groups_that_are_kept_elsewhere_are_asked_for(world: World, clock: VirtualClock) -> None:
    world.documents[GROUPS_URL] = token(claims(clock, groups=["a", "b"])).encode()
    tokens = tokens_with_groups_elsewhere(world, clock)
    found = await who(tokens, token(claims(clock, **ELSEWHERE)))
    assert found == Identity("jane", groups=("g:a", "g:b", "system:authenticated"))
    assert world.tokens == {GROUPS_URL: "let-me-in"}
    assert world.fetched.count(f"{ISSUER}/keys") == 1, "the issuer's keys are known by then"


async def test_groups_that_another_issuer_signs_are_verified_with_its_keys(world: World, clock: VirtualClock) -> None:
    other = "https://groups.example"
    world.documents |= {
        GROUPS_URL: token(claims(clock, iss=other, groups="a"), "ES256").encode(),
        f"{other}/.well-known/openid-configuration": {"issuer": other, "jwks_uri": f"{other}/keys"},
        f"{other}/keys": {"keys": [ec_jwk("ES256")]},
    }
    tokens = tokens_with_groups_elsewhere(world, clock)
    found = await who(tokens, token(claims(clock, **ELSEWHERE)))
    assert found == Identity("jane", groups=("g:a", "system:authenticated"))
    world.documents[GROUPS_URL] = token(claims(clock, iss=other, groups="admins"), "RS256").encode()
    assert "verify distributed claim token" in await why_not(tokens, token(claims(clock, jti="2", **ELSEWHERE)))


@pytest.mark.parametrize(
    "told",
    [
        {"groups": ["here"], **ELSEWHERE},
        {"_claim_names": {"address": "directory"}, "_claim_sources": {}},
        {"_claim_names": {"groups": "directory"}, "_claim_sources": {"directory": {"JWT": "aggregated"}}},
    ],
)
async def test_nothing_is_asked_for_what_is_there_or_nowhere(
    world: World, clock: VirtualClock, told: dict[str, Any]
) -> None:
    assert await who(tokens_with_groups_elsewhere(world, clock), token(claims(clock, **told))) is not None
    assert GROUPS_URL not in world.fetched


@pytest.mark.parametrize(
    ("told", "answer", "reason"),
    [
        ({"_claim_sources": None}, None, "oidc: no claim sources"),
        ({"_claim_names": ["groups"]}, None, "error parsing distributed claim names"),
        ({"_claim_sources": {"directory": GROUPS_URL}}, None, "could not parse claim sources"),
        ({"_claim_sources": {}}, None, "contained a source directory missing in _claims_sources"),
        ({}, None, 'while getting distributed claim "groups": Get'),
        ({}, {}, "getting untrusted issuer from endpoint"),
        ({}, {"iss": "https://nobody.example"}, "verifier not initialized for issuer"),
        ({}, {"groups": None}, "did not contain claim: groups"),
        ({}, {"exp": 1}, "verify distributed claim token: oidc: token is expired"),
        ({}, {"aud": "others"}, 'verify distributed claim token: oidc: expected audience "cluster"'),
    ],
)
async def test_whose_groups_cannot_be_had_is_nobody(
    world: World, clock: VirtualClock, told: dict[str, Any], answer: dict[str, Any] | None, reason: str
) -> None:
    if answer == {}:
        world.documents[GROUPS_URL] = b"<html>"
    elif answer is not None:
        world.documents[GROUPS_URL] = token(claims(clock, **{"groups": ["a"], **answer})).encode()
    text = token(claims(clock, **{**ELSEWHERE, **told}))
    why = await why_not(tokens_with_groups_elsewhere(world, clock), text)
    assert why.startswith("oidc: could not expand distributed claims: ")
    assert reason in why
    assert "let-me-in" not in why


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(["kty", "kid", "n", "e", "crv", "x", "y", "keys"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(FIELDS, JSON | st.sampled_from(["RSA", "EC", "P-256", "AQAB"])) | JSON) | JSON)
def test_whatever_a_key_set_says_it_is_read_or_refused(keys: Any) -> None:
    try:
        read_keys({"keys": keys})
        read_keys(keys)
    except ValueError:
        pass


@settings(max_examples=100, deadline=None)
@given(claims=st.dictionaries(st.sampled_from(["sub", "groups", "email", "jti", "id", "team"]), JSON))
def test_whatever_claims_say_they_make_a_user_or_are_refused(claims: dict[str, Any]) -> None:
    mapped = terms(
        username=ClaimMapping(claim="email"),
        groups=ClaimMapping(claim="groups"),
        uid=ClaimMapping(claim="id"),
        required={"team": "x"},
    )
    try:
        user = user_of(claims, mapped)
    except TokenError:
        return
    assert all(isinstance(text, str) for text in (user.name, user.uid, *user.groups))
