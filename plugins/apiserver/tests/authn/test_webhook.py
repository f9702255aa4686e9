"""Tokens that a webhook knows."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from hyperkube_apiserver.authn import Authenticator, Identity, TokenError
from hyperkube_apiserver.authn.authenticator import Proof
from hyperkube_apiserver.authn.webhook import WebhookTokens
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Request
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

JANE = {"username": "jane", "uid": "42", "groups": ["dev"], "extra": {"scopes": ["a", "b"]}}


class Hook:
    def __init__(self) -> None:
        self.status: Any = {"authenticated": True, "user": JANE}
        self.asked: list[dict[str, Any]] = []

    async def ask(self, review: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(review)
        if isinstance(self.status, Exception):
            raise self.status
        return {"kind": "TokenReview", "status": self.status}


class Connection:
    peer_certificate = None
    peer_chain = ()
    peer_address = "127.0.0.1"
    state: dict[str, Any] = {}  # noqa: RUF012


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def tokens(hook: Hook, clock: VirtualClock) -> WebhookTokens:
    return WebhookTokens(hook.ask, clock, version="v1", audiences=("api",), remembered_seconds=120)


async def proof(tokens: WebhookTokens, token: str = "t", audiences: tuple[str, ...] = ("api",)) -> Proof | None:
    found = tokens.authenticate(token, audiences)
    return await found if isinstance(found, Awaitable) else found


async def test_the_webhook_says_whose_a_token_is(tokens: WebhookTokens, hook: Hook) -> None:
    found = await proof(tokens)
    groups = ("dev", "system:authenticated")
    assert found == (Identity("jane", "42", groups, {"scopes": ("a", "b")}), ("api",))
    assert hook.asked[0]["apiVersion"] == "authentication.k8s.io/v1"
    assert hook.asked[0]["spec"] == {"token": "t", "audiences": ["api"]}


async def test_what_it_said_is_remembered_for_a_while(tokens: WebhookTokens, hook: Hook, clock: VirtualClock) -> None:
    first = await proof(tokens)
    hook.status = {"authenticated": False}
    assert tokens.authenticate("t", ("api",)) == first, "it is known at once"
    assert await proof(tokens, "other") is None
    await clock.advance(121)
    assert await proof(tokens) is None
    assert len(hook.asked) == 3


async def test_failures_are_not_remembered(tokens: WebhookTokens, hook: Hook) -> None:
    hook.status = CallFailed('Post "https://hook": EOF')
    with pytest.raises(TokenError, match="EOF"):
        await proof(tokens)
    hook.status = {"authenticated": True, "user": JANE}
    assert await proof(tokens) is not None


@pytest.mark.parametrize(
    ("told", "wanted", "expected"),
    [
        (["vault", "x"], ("vault",), ("vault",)),
        ([], ("api", "y"), ("api",)),
        (["x"], ("vault",), None),
        ([], ("vault",), None),
    ],
)
async def test_a_token_is_for_audiences(
    tokens: WebhookTokens, hook: Hook, told: list[str], wanted: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    hook.status = {"authenticated": True, "user": JANE, "audiences": told}
    found = await proof(tokens, audiences=wanted)
    assert (found[1] if found is not None else None) == expected


@pytest.mark.parametrize(
    "status",
    [
        {"authenticated": "true", "user": JANE},
        {"authenticated": 1, "user": JANE},
        {"user": JANE},
        None,
    ],
)
async def test_nothing_but_true_is_true(tokens: WebhookTokens, hook: Hook, status: Any) -> None:
    hook.status = status
    assert await proof(tokens) is None


@pytest.mark.parametrize(
    "status",
    [[], {"authenticated": True, "user": []}, {"authenticated": True, "user": {"groups": [1]}}, {"error": "why not"}],
)
async def test_an_answer_that_is_none_proves_nothing(tokens: WebhookTokens, hook: Hook, status: Any) -> None:
    hook.status = status
    with pytest.raises(TokenError):
        await proof(tokens)


async def test_requests_wait_for_the_webhook_and_are_refused_in_the_usual_words(
    tokens: WebhookTokens, hook: Hook, clock: VirtualClock
) -> None:
    authenticator = Authenticator(clock=clock, others=[tokens], audiences=("api",))
    request = Request("GET", "/", "", {"authorization": "Bearer t"}, b"", Connection())
    found = authenticator.authenticate(request)
    assert isinstance(found, Awaitable)
    assert (await found).name == "jane"
    hook.status = {"authenticated": False, "error": "stolen"}
    refused = authenticator.authenticate(Request("GET", "/", "", {"authorization": "Bearer u"}, b"", Connection()))
    assert isinstance(refused, Awaitable)
    with pytest.raises(APIError) as caught:
        await refused
    assert caught.value.code == 401
    assert (await authenticator.review("u", ())).error == "[invalid bearer token, stolen]"
    assert (await authenticator.review("t", ())).identity is not None
