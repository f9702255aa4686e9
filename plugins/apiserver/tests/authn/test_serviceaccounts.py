"""Tokens of service accounts: what they prove, and what ends that."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hyperkube_apiserver.authn import Authenticator, Identity, KeySet, ServiceAccountTokens, StaticTokens, TokenError
from hyperkube_apiserver.authn.jwt import signed
from hyperkube_apiserver.authn.keys import create_key
from hyperkube_apiserver.authn.serviceaccounts import Bound, claims
from hyperkube_core.testing import VirtualClock
from hyperkube_machinery import timestamps
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Request

KEY = create_key()
ISSUER, AUDIENCES = "https://issuer", ("api", "https://issuer")
Tree = dict[str, Any]


def sender(authenticator: Authenticator, request: Request) -> Identity:
    """Who sent `request`, which nobody else has to be asked about."""
    found = authenticator.authenticate(request)
    assert isinstance(found, Identity)
    return found


def obj(name: str, uid: str = "", namespace: str = "ns") -> Tree:
    metadata = {"name": name, "uid": uid or f"uid-{name}"}
    return {"metadata": {**metadata, "namespace": namespace} if namespace else metadata}


class World:
    """The objects that tokens are bound to, in a dictionary."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Tree] = {
            ("serviceaccounts", "ns", "robot"): obj("robot"),
            ("pods", "ns", "pod"): obj("pod"),
            ("secrets", "ns", "secret"): obj("secret"),
            ("nodes", "", "node"): obj("node", namespace=""),
        }

    def find(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return self.objects.get((resource, namespace, name))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def tokens(world: World, clock: VirtualClock) -> ServiceAccountTokens:
    return ServiceAccountTokens(KeySet([KEY.public]), (ISSUER, "https://old"), AUDIENCES, world, clock)


@pytest.fixture
def issue(clock: VirtualClock) -> Callable[..., str]:
    def issue(**changes: Any) -> str:
        told = claims(
            obj("robot"),
            changes.pop("bound", Bound()),
            issuer=ISSUER,
            audiences=changes.pop("audiences", AUDIENCES),
            now=clock.now(),
            lasts_seconds=3600,
            token_id="id-1",
        )
        told.update(changes)
        return signed(KEY, {claim: value for claim, value in told.items() if value is not None})

    return issue


def identity(tokens: ServiceAccountTokens, token: str) -> Identity:
    found = tokens.authenticate(token, AUDIENCES)
    assert found is not None
    return found[0]


def why(tokens: ServiceAccountTokens, token: str, audiences: tuple[str, ...] = AUDIENCES) -> str:
    with pytest.raises(TokenError) as caught:
        tokens.authenticate(token, audiences)
    return str(caught.value)


POD = Bound(pod=obj("pod"), node=obj("node", namespace=""))


def test_a_token_stands_for_its_account(tokens: ServiceAccountTokens, issue: Callable[..., str]) -> None:
    found = identity(tokens, issue())
    assert (found.name, found.uid) == ("system:serviceaccount:ns:robot", "uid-robot")
    assert found.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert found.extra == {"authentication.kubernetes.io/credential-id": ("JTI=id-1",)}


def test_a_token_tells_of_its_pod_and_node(tokens: ServiceAccountTokens, issue: Callable[..., str]) -> None:
    extra = identity(tokens, issue(bound=POD)).extra
    assert {key.rpartition("/")[2]: value for key, value in extra.items()} == {
        "pod-name": ("pod",),
        "pod-uid": ("uid-pod",),
        "credential-id": ("JTI=id-1",),
        "node-name": ("node",),
        "node-uid": ("uid-node",),
    }


def test_a_pod_on_a_node_that_is_not_there_still_names_it(
    tokens: ServiceAccountTokens, issue: Callable[..., str], world: World
) -> None:
    token = issue(bound=Bound(pod=obj("pod"), node={"metadata": {"name": "gone"}}))
    extra = identity(tokens, token).extra
    assert extra["authentication.kubernetes.io/node-name"] == ("gone",)
    assert "authentication.kubernetes.io/node-uid" not in extra


@pytest.mark.parametrize(
    ("bound", "key", "uid_error"),
    [
        (Bound(), ("serviceaccounts", "ns", "robot"), "service account UID (other) does not match claim (uid-robot)"),
        (POD, ("pods", "ns", "pod"), "pod UID (other) does not match service account pod ref claim (uid-pod)"),
        (
            Bound(secret=obj("secret")),
            ("secrets", "ns", "secret"),
            "secret UID (other) does not match service account secret ref claim (uid-secret)",
        ),
        (
            Bound(node=obj("node", namespace="")),
            ("nodes", "", "node"),
            "node UID (other) does not match service account node ref claim (uid-node)",
        ),
    ],
)
def test_a_token_ends_with_what_it_is_bound_to(
    tokens: ServiceAccountTokens,
    issue: Callable[..., str],
    world: World,
    clock: VirtualClock,
    bound: Bound,
    key: tuple[str, str, str],
    uid_error: str,
) -> None:
    token = issue(bound=bound)
    identity(tokens, token)
    account = key[0] == "serviceaccounts"
    invalidated = "service account ns/robot has been deleted" if account else _GONE
    metadata = world.objects[key]["metadata"]
    metadata["deletionTimestamp"] = timestamps.format_seconds(clock.now() - 61)
    assert why(tokens, token) == invalidated
    metadata["deletionTimestamp"] = timestamps.format_seconds(clock.now() - 30)
    identity(tokens, token)  # it has a minute to finish what it does
    del metadata["deletionTimestamp"]
    metadata["uid"] = "other"
    assert why(tokens, token) == uid_error
    del world.objects[key]
    assert why(tokens, token) == ('serviceaccounts "robot" not found' if account else _GONE)


_GONE = "service account token has been invalidated"


@pytest.mark.parametrize(
    ("seconds", "changes", "message"),
    [
        (3659, {}, ""),
        (3661, {}, "service account token has expired"),
        (-59, {}, ""),
        (-61, {}, "service account token is not valid yet"),
        (-61, {"nbf": None}, "service account token is issued in the future"),
        (10**9, {"exp": None}, ""),
    ],
)
def test_a_token_counts_for_its_time_give_or_take_a_minute(
    tokens: ServiceAccountTokens,
    issue: Callable[..., str],
    clock: VirtualClock,
    seconds: float,
    changes: Tree,
    message: str,
) -> None:
    for claim in ("nbf", "iat", "exp"):
        begin = clock.now() - seconds
        if claim not in changes:
            changes = {**changes, claim: int(begin) + (3600 if claim == "exp" else 0)}
    token = issue(**changes)
    if message:
        assert why(tokens, token) == message
    else:
        identity(tokens, token)


def test_a_remembered_token_still_expires(
    tokens: ServiceAccountTokens, issue: Callable[..., str], world: World
) -> None:
    class Later(VirtualClock):
        def now(self) -> float:
            return super().now() + self.ahead

        ahead = 0.0

    clock = Later()
    tokens = ServiceAccountTokens(KeySet([KEY.public]), (ISSUER,), AUDIENCES, world, clock)
    token = issue(exp=int(clock.now()) + 600)
    identity(tokens, token)
    clock.ahead = 700
    assert why(tokens, token) == "service account token has expired"


def test_a_token_is_for_its_audiences_alone(tokens: ServiceAccountTokens, issue: Callable[..., str]) -> None:
    token = issue(audiences=("vault", "api"))
    assert tokens.authenticate(token, ("api", "x")) is not None
    found = tokens.authenticate(token, ("x", "vault"))
    assert found is not None
    assert found[1] == ("vault",)
    told = 'token audiences ["vault" "api"] is invalid for the target audiences ["x"]'
    assert why(tokens, token, ("x",)) == told
    assert why(tokens, issue(audiences=("vault",))).startswith('token audiences ["vault"] is invalid')
    one = issue(aud="api")
    assert tokens.authenticate(one, AUDIENCES) is not None
    assert tokens.authenticate(issue(aud=None), AUDIENCES) is not None, "meant for this server, as tokens of old are"


def test_other_issuers_are_none_of_its_business(tokens: ServiceAccountTokens, issue: Callable[..., str]) -> None:
    assert tokens.authenticate(issue(iss="https://elsewhere"), AUDIENCES) is None
    assert tokens.authenticate("opaque", AUDIENCES) is None
    assert identity(tokens, issue(iss="https://old")).uid == "uid-robot"


@pytest.mark.parametrize(
    "changes",
    [
        {"kubernetes.io": None},
        {"kubernetes.io": "ns"},
        {"kubernetes.io": {"namespace": 7}},
        {"kubernetes.io": {"namespace": "ns", "serviceaccount": []}},
        {"kubernetes.io": {"namespace": "ns", "serviceaccount": {"name": {}, "uid": 1}}},
        {"aud": {"api": True}},
        {"aud": ["api", 7]},
        {"exp": "tomorrow"},
        {"nbf": True},
        {"jti": ["x"]},
    ],
)
def test_claims_of_another_type_prove_nothing(
    tokens: ServiceAccountTokens, issue: Callable[..., str], changes: Tree
) -> None:
    why(tokens, issue(**changes))


# Tokens that are kept in secrets

LEGACY = {
    "iss": "kubernetes/serviceaccount",
    "sub": "system:serviceaccount:ns:robot",
    "kubernetes.io/serviceaccount/namespace": "ns",
    "kubernetes.io/serviceaccount/secret.name": "secret",
    "kubernetes.io/serviceaccount/service-account.name": "robot",
    "kubernetes.io/serviceaccount/service-account.uid": "uid-robot",
}


def keep(world: World, token: str) -> Tree:
    secret = world.objects["secrets", "ns", "secret"]
    secret["data"] = {"token": b64encode(token.encode()).decode()}
    return secret


def test_a_token_in_a_secret_stands_for_its_account(tokens: ServiceAccountTokens, world: World) -> None:
    token = signed(KEY, LEGACY)
    keep(world, token)
    found = identity(tokens, token)
    assert (found.name, found.uid, found.extra) == ("system:serviceaccount:ns:robot", "uid-robot", {})


def test_a_token_in_a_secret_ends_with_it(tokens: ServiceAccountTokens, world: World) -> None:
    token = signed(KEY, LEGACY)
    assert why(tokens, token) == "Token does not match server's copy"
    secret = keep(world, token)
    secret["metadata"]["labels"] = {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}
    assert "the token in secret ns/secret for service account ns/robot has been marked invalid" in why(tokens, token)
    secret["metadata"].pop("labels")
    account = world.objects["serviceaccounts", "ns", "robot"]
    account["metadata"]["uid"] = "other"
    assert why(tokens, token) == "ServiceAccount UID (other) does not match claim (uid-robot)"
    account["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert why(tokens, token) == "ServiceAccount ns/robot has been deleted"
    secret["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert why(tokens, token) == "Token has been invalidated"
    del world.objects["secrets", "ns", "secret"]
    assert why(tokens, token) == "Token has been invalidated"


def test_uses_of_tokens_in_secrets_are_told(world: World, clock: VirtualClock) -> None:
    used: list[Any] = []
    tokens = ServiceAccountTokens(KeySet([KEY.public]), (ISSUER,), AUDIENCES, world, clock, used=used.append)
    token = signed(KEY, LEGACY)
    why(tokens, token)
    assert used == []
    secret = keep(world, token)
    identity(tokens, token)
    assert used == [secret]
    secret["metadata"]["labels"] = {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}
    why(tokens, token)
    assert used == [secret, secret]


def test_without_lookup_a_token_in_a_secret_counts_by_its_signature(world: World, clock: VirtualClock) -> None:
    tokens = ServiceAccountTokens(KeySet([KEY.public]), (ISSUER,), AUDIENCES, world, clock, lookup=False)
    world.objects.clear()
    assert identity(tokens, signed(KEY, LEGACY)).uid == "uid-robot"


@pytest.mark.parametrize(
    ("claim", "value", "message"),
    [
        ("sub", "", "sub claim is missing"),
        ("kubernetes.io/serviceaccount/namespace", "", "namespace claim is missing"),
        ("kubernetes.io/serviceaccount/secret.name", "", "secretName claim is missing"),
        ("kubernetes.io/serviceaccount/service-account.name", "", "serviceAccountName claim is missing"),
        ("kubernetes.io/serviceaccount/service-account.uid", "", "serviceAccountUID claim is missing"),
        ("sub", "system:serviceaccount:ns:other", "sub claim is invalid"),
        ("sub", "robot", "sub claim is invalid"),
    ],
)
def test_a_token_in_a_secret_has_all_its_claims(
    tokens: ServiceAccountTokens, claim: str, value: str, message: str
) -> None:
    assert why(tokens, signed(KEY, {**LEGACY, claim: value})) == message


# Requests and reviews


@pytest.fixture
def authenticator(tokens: ServiceAccountTokens, clock: VirtualClock) -> Authenticator:
    static = StaticTokens({"static": Identity("tina")})
    return Authenticator(clock=clock, tokens=static, accounts=tokens, audiences=AUDIENCES)


class Connection:
    peer_certificate = None
    peer_chain = ()
    peer_address = ""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}


def request(token: str) -> Request:
    return Request("GET", "/", "", {"authorization": f"Bearer {token}"}, b"", Connection())


def test_a_request_with_a_token_is_its_accounts(authenticator: Authenticator, issue: Callable[..., str]) -> None:
    assert sender(authenticator, request(issue())).name == "system:serviceaccount:ns:robot"


def test_a_refused_token_is_401_and_the_log_tells_why_but_not_the_token(
    authenticator: Authenticator, issue: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    for token, reason in ((issue(exp=1, nbf=0, iat=0), "has expired"), (issue(audiences=("vault",)), "audiences")):
        caplog.clear()
        with caplog.at_level(logging.DEBUG), pytest.raises(APIError) as caught:
            sender(authenticator, request(token))
        assert caught.value.status["message"] == "Unauthorized"
        assert reason in caplog.text
        assert token not in caplog.text
        assert token.split(".")[1] not in caplog.text
        assert token.split(".")[2] not in caplog.text


@pytest.mark.anyio
async def test_a_review_tells_whose_a_token_is_and_for_whom(
    authenticator: Authenticator, issue: Callable[..., str]
) -> None:
    review = await authenticator.review(issue(audiences=("vault", "api")), ())
    assert review.identity is not None
    assert (review.identity.uid, review.audiences, review.error) == ("uid-robot", ("api",), "")
    assert (await authenticator.review(issue(audiences=("vault",)), ["vault", "x"])).audiences == ("vault",)
    refused = await authenticator.review(issue(audiences=("vault",)), ["x"])
    assert (refused.identity, refused.audiences) == (None, ())
    assert "is invalid for the target audiences" in refused.error
    assert (await authenticator.review("unknown", ())).error == "invalid bearer token"


@pytest.mark.anyio
async def test_a_static_token_is_for_this_server(authenticator: Authenticator) -> None:
    review = await authenticator.review("static", ())
    assert review.identity is not None
    assert (review.identity.name, review.audiences) == ("tina", AUDIENCES)
    assert (await authenticator.review("static", ["api", "x"])).audiences == ("api",)
    assert (await authenticator.review("static", ["x"])).error == "invalid bearer token"
