"""Calling webhooks: what is sent, what is made of answers, and how failures are told."""

from __future__ import annotations

import base64
import socket
from typing import Any

import pytest

from hyperkube_apiserver.webhooks.caller import WebhookCaller, duration_text
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_apiserver.webhooks.trust import BadBundle
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.tls import create_ca

pytestmark = pytest.mark.anyio

REVIEW = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": "u"}}


async def failure(caller: WebhookCaller, config: dict[str, Any], seconds: float = 10) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await caller.call(config, REVIEW, seconds)
    return caught.value


def answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_review_is_posted_and_its_answer_returned(caller: WebhookCaller, hook: Any) -> None:
    assert await caller.call(hook.at("/validate//pods/"), REVIEW, 10) == REVIEW
    first, headers, review = hook.asked[0]
    assert first == "POST /validate/pods?timeout=10s HTTP/1.1"
    assert review == REVIEW
    assert headers["host"] == f"localhost:{hook.port}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "kube-apiserver-admission"


async def test_connections_are_kept_whichever_object_names_the_webhook(caller: WebhookCaller, hook: Any) -> None:
    for _ in range(3):
        await caller.call(hook.at(), REVIEW, 10)
    assert hook.connections == 1


async def test_a_connection_that_the_webhook_closed_meanwhile_is_replaced(caller: WebhookCaller, hook: Any) -> None:
    body = b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}'
    lying = b"HTTP/1.1 200 OK\r\nX: keep-alive\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    hook.answers = lambda review: lying if not hook.asked[1:] else b"" if hook.connections == 1 else review
    await caller.call(hook.at(), REVIEW, 10)
    assert await caller.call(hook.at(), REVIEW, 10) == REVIEW
    assert (hook.connections, len(hook.asked)) == (2, 3)


async def test_a_service_is_called_by_its_name_wherever_it_is(caller: WebhookCaller, hook: Any, objects: Any) -> None:
    objects.services["tests", "hooks"] = {
        "metadata": {"name": "hooks", "namespace": "tests"},
        "spec": {"type": "ClusterIP", "clusterIP": "127.0.0.1", "ports": [{"port": hook.port}]},
    }
    service = {"namespace": "tests", "name": "hooks", "port": hook.port, "path": "/mutate"}
    await caller.call({"service": service, "caBundle": hook.bundle}, REVIEW, 5)
    first, headers, _ = hook.asked[0]
    assert first == "POST /mutate?timeout=5s HTTP/1.1"
    assert headers["host"] == f"hooks.tests.svc:{hook.port}"


async def test_a_service_that_is_not_there_is_told_with_the_url(caller: WebhookCaller, hook: Any) -> None:
    config = {"service": {"namespace": "tests", "name": "none"}, "caBundle": hook.bundle}
    told = str(await failure(caller, config))
    assert told == 'Post "https://none.tests.svc:443/?timeout=10s": service "none" not found'


async def test_a_refused_connection_is_told_with_its_address(caller: WebhookCaller) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    told = str(await failure(caller, {"url": f"https://127.0.0.1:{port}/x"}))
    why = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert told == f'Post "https://127.0.0.1:{port}/x?timeout=10s": {why}'


async def test_what_takes_too_long_is_given_up(caller: WebhookCaller, hook: Any) -> None:
    hook.gate.clear()
    error = await failure(caller, hook.at("/slow"), 0.2)
    hook.gate.set()
    assert str(error) == f'Post "https://localhost:{hook.port}/slow?timeout=1s": context deadline exceeded'
    assert error.code == 503


async def test_a_certificate_of_another_authority_is_not_trusted(caller: WebhookCaller, hook: Any) -> None:
    other = create_ca("other", now=SystemClock().now())
    config = {**hook.at(), "caBundle": base64.b64encode(other.certificate_pem).decode()}
    why = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    assert str(await failure(caller, config)) == f'Post "https://localhost:{hook.port}/?timeout=10s": {why}'
    assert not hook.asked


async def test_without_a_bundle_the_systems_authorities_are_trusted_alone(caller: WebhookCaller, hook: Any) -> None:
    told = str(await failure(caller, {"url": hook.at()["url"]}))
    assert told.endswith("x509: certificate signed by unknown authority")


async def test_a_certificate_of_other_names_is_told_with_them(caller: WebhookCaller, hook: Any, objects: Any) -> None:
    objects.services["tests", "others"] = {
        "metadata": {"name": "others", "namespace": "tests"},
        "spec": {"clusterIP": "127.0.0.1", "ports": [{"port": hook.port}]},
    }
    config = {"service": {"namespace": "tests", "name": "others", "port": hook.port}, "caBundle": hook.bundle}
    told = str(await failure(caller, config))
    names = "certificate is valid for localhost, hooks.tests.svc, not others.tests.svc"
    assert told.endswith(f"tls: failed to verify certificate: x509: {names}")


async def test_a_bundle_that_holds_no_certificates_is_told_of(caller: WebhookCaller, hook: Any) -> None:
    with pytest.raises(BadBundle, match="unable to load root certificates: unable to parse bytes as PEM block"):
        await caller.call({**hook.at(), "caBundle": "eHh4"}, REVIEW, 10)


@pytest.mark.parametrize(
    ("raw", "message", "code"),
    [
        (answer("500 X", b"oh no", "Content-Type: text/plain"), 'an error on the server ("oh no") has', 500),
        (answer("500 X", b"{}", "Content-Type: application/json"), 'an error on the server ("unknown") has', 500),
        (answer("404 X", b"none"), "the server could not find the requested resource", 404),
        (answer("403 X", b"not you"), "not you", 403),
        (answer("302 X", b"", "Location: https://elsewhere"), "the server responded with the status code 302 but", 302),
        (answer("200 X", b""), "0-length response with status code: 200 and content type: application/json", 503),
        (answer("200 X", b"garbage"), "json parse error: json: cannot unmarshal string into Go value of type", 503),
        (answer("200 X", b'{"a": 1,,}'), "couldn't get version/kind; json parse error: invalid character ','", 503),
        (answer("200 X", b'{"kind": 1}'), "json: cannot unmarshal number into Go struct field .kind of type", 503),
        (
            answer("200 X", b'{"kind": "Pod", "apiVersion": "v1"}'),
            'no kind "Pod" is registered for version "v1" in scheme "k8s.io/apiserver/pkg/util/webhook/client.go:71"',
            503,
        ),
        (
            answer("200 X", b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}'),
            "converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion",
            503,
        ),
        (
            answer("429 X", b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"later","code":429}'),
            "later",
            429,
        ),
        (
            answer("200 X", b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"so","code":418}'),
            "converting (v1.Status) to (v1.AdmissionReview): unknown conversion",
            503,
        ),
        (b"nonsense\r\n\r\n", "malformed HTTP response", 503),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", "unexpected error when reading response body", 503),
        (b"", "EOF", 503),
    ],
)
async def test_answers_that_are_none_are_told_in_upstreams_words(
    caller: WebhookCaller, hook: Any, raw: bytes, message: str, code: int
) -> None:
    hook.answers = lambda review: raw
    error = await failure(caller, hook.at())
    assert message in str(error)
    assert error.code == code


async def test_an_answer_may_be_yaml(caller: WebhookCaller, hook: Any) -> None:
    hook.answers = lambda review: answer("200 OK", b"kind: AdmissionReview\nresponse: {allowed: true}")
    assert await caller.call(hook.at(), REVIEW, 10) == {"kind": "AdmissionReview", "response": {"allowed": True}}


async def test_redirects_are_not_followed(caller: WebhookCaller, hook: Any) -> None:
    where = f"Location: https://localhost:{hook.port}/elsewhere"
    hook.answers = lambda review: answer("307 Temporary Redirect", b"", where)
    await failure(caller, hook.at())
    assert len(hook.asked) == 1


async def test_an_answer_without_end_is_given_up(
    caller: WebhookCaller, hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperkube_apiserver.webhooks.connections._LARGEST_ANSWER", 1000)
    hook.answers = lambda review: answer("200 OK", b"x" * 5000)
    assert "the answer is larger than 1000 bytes" in str(await failure(caller, hook.at()))


async def test_a_busy_webhook_is_asked_again_when_it_says(caller: WebhookCaller, hook: Any) -> None:
    hook.answers = lambda review: review if hook.asked[1:] else answer("503 X", b"", "Retry-After: 0")
    assert await caller.call(hook.at(), REVIEW, 10) == REVIEW
    assert len(hook.asked) == 2


def test_durations_are_written_as_go_writes_them() -> None:
    told = {0.2: "1s", 1: "1s", 9.5: "10s", 30: "30s", 60: "1m0s", 90: "1m30s"}
    assert {seconds: duration_text(seconds) for seconds in told} == told
