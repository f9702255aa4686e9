"""Webhooks that a kubeconfig names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_apiserver.webhooks.kubeconfigs import KubeconfigWebhook
from hyperkube_machinery import kubeconfig
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.kubeconfig import Access, KubeconfigError
from hyperkube_machinery.tls import create_ca

pytestmark = pytest.mark.anyio

REVIEW: dict[str, Any] = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": "t"}}


class Hurried(SystemClock):
    """Sleeps no longer than it must for others to get their turn, and remembers for how long it was asked to."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        if seconds >= 10:  # the time that an answer may take
            await asyncio.sleep(seconds)
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Hurried:
    return Hurried()


@pytest.fixture
def webhook(hook: Any, clock: Hurried) -> Iterator[KubeconfigWebhook]:
    access = Access(server=f"https://localhost:{hook.port}/review", ca_pem=hook.ca.certificate_pem, token="secret")
    made = KubeconfigWebhook(access, clock, timeout_seconds=30, says_timeout=True, chance=lambda: 0.0)
    yield made
    made.close()


def answer(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "", ""]).encode()


async def test_a_review_is_sent_to_its_very_address_as_its_user(hook: Any, webhook: KubeconfigWebhook) -> None:
    assert await webhook.ask(REVIEW) == REVIEW
    assert await webhook.ask(REVIEW) == REVIEW
    first, headers, _ = hook.asked[0]
    assert first == "POST /review?timeout=30s HTTP/1.1"
    assert headers["authorization"] == "Bearer secret"
    assert hook.connections == 1, "it is kept"


@pytest.mark.parametrize("status", ["500 Internal Server Error", "504 Gateway Timeout", "429 Too Many Requests"])
async def test_what_is_transient_is_tried_again(
    hook: Any, webhook: KubeconfigWebhook, clock: Hurried, status: str
) -> None:
    answers: list[Any] = [answer(status), answer(status), REVIEW]
    hook.answers = lambda review: answers.pop(0)
    assert await webhook.ask(REVIEW) == REVIEW
    assert clock.slept == [0.5, 0.75]


async def test_but_not_for_ever(hook: Any, webhook: KubeconfigWebhook) -> None:
    hook.answers = lambda review: answer("500 Internal Server Error")
    with pytest.raises(CallFailed, match="has prevented the request from succeeding"):
        await webhook.ask(REVIEW)
    assert len(hook.asked) == 5


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "503 Service Unavailable"])
async def test_what_is_not_transient_fails_at_once(hook: Any, webhook: KubeconfigWebhook, status: str) -> None:
    hook.answers = lambda review: answer(status)
    with pytest.raises(CallFailed):
        await webhook.ask(REVIEW)
    assert len(hook.asked) == 1


async def test_a_server_that_is_not_there_is_told_by_its_address(clock: Hurried) -> None:
    webhook = KubeconfigWebhook(Access(server="https://127.0.0.1:1/x"), clock, timeout_seconds=30)
    with pytest.raises(CallFailed) as caught:
        await webhook.ask(REVIEW)
    assert str(caught.value) == 'Post "https://127.0.0.1:1/x": dial tcp 127.0.0.1:1: connect: connection refused'


async def test_a_server_of_another_authority_is_not_asked(hook: Any, clock: Hurried) -> None:
    other = create_ca("other", now=clock.now()).certificate_pem
    access = Access(server=f"https://localhost:{hook.port}", ca_pem=other)
    with pytest.raises(CallFailed, match="x509: certificate signed by unknown authority"):
        await KubeconfigWebhook(access, clock, timeout_seconds=30).ask(REVIEW)
    assert hook.asked == []


@pytest.mark.parametrize("server", ["ftp://x", "x", "https://"])
def test_an_address_that_is_none_is_an_error(tmp_path: Path, server: str, clock: Hurried) -> None:
    file = tmp_path / "config"
    kubeconfig.write(file, Access(server=server), cluster="c", user="u")
    with pytest.raises(KubeconfigError, match="is no address"):
        KubeconfigWebhook.read(file, clock, timeout_seconds=30)
