"""Webhooks that decide, and the configuration that names them."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hyperkube_apiserver.authz import Decision, ResourceAttributes
from hyperkube_apiserver.authz.conditions import compile_conditions
from hyperkube_apiserver.authz.configuration import read_authorization
from hyperkube_apiserver.authz.metrics import AccessMetrics
from hyperkube_apiserver.authz.reviews import review_spec
from hyperkube_apiserver.authz.webhook import WebhookAuthorizer, WebhookTerms
from hyperkube_apiserver.configfiles import ConfigFileError
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.serving.exposition import exposition
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

JOE = Identity("joe", "7", ("dev",), {"scopes": ("a",)})


def pods(**changes: str) -> ResourceAttributes:
    return ResourceAttributes(**{"verb": "list", "resource": "pods", "version": "v1", "namespace": "ns", **changes})  # type: ignore[arg-type]


PATH = ResourceAttributes(verb="get", resource="", is_resource=False, path="/healthz")


class Hook:
    def __init__(self) -> None:
        self.status: Any = {"allowed": True, "reason": "because"}
        self.asked: list[dict[str, Any]] = []

    async def ask(self, review: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(review)
        if isinstance(self.status, Exception):
            raise self.status
        return {"status": self.status}


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


async def decision(authorizer: WebhookAuthorizer, asked: ResourceAttributes) -> Decision:
    found = authorizer.authorize(JOE, asked)
    return await found if isinstance(found, Awaitable) else found


def test_a_question_is_a_review() -> None:
    assert review_spec(JOE, pods(field_selector="a=b,c!=d", label_selector="x in (1,2),!y,z>3")) == {
        "resourceAttributes": {
            "namespace": "ns",
            "verb": "list",
            "version": "v1",
            "resource": "pods",
            "fieldSelector": {
                "requirements": [
                    {"key": "a", "operator": "In", "values": ["b"]},
                    {"key": "c", "operator": "NotIn", "values": ["d"]},
                ]
            },
            "labelSelector": {
                "requirements": [
                    {"key": "x", "operator": "In", "values": ["1", "2"]},
                    {"key": "y", "operator": "DoesNotExist"},
                ]
            },
        },
        "user": "joe",
        "groups": ["dev"],
        "extra": {"scopes": ["a"]},
        "uid": "7",
    }
    assert review_spec(Identity("x"), PATH) == {
        "nonResourceAttributes": {"path": "/healthz", "verb": "get"},
        "user": "x",
    }
    assert "fieldSelector" not in review_spec(JOE, pods(field_selector="==="))["resourceAttributes"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"allowed": True, "reason": "because"}, Decision(True, "because")),
        ({"allowed": False, "reason": "no"}, Decision(False, "no")),
        ({"allowed": False, "denied": True, "reason": "never"}, Decision(False, "never", denied=True)),
        ({"allowed": "true"}, Decision(False)),
        ({"allowed": 1}, Decision(False)),
        (None, Decision(False)),
        (
            {"allowed": True, "denied": True},
            Decision(False, denied=True, error="webhook subject access review returned both allow and deny response"),
        ),
        ([], Decision(False, error="the answer is no SubjectAccessReview")),
        (CallFailed('Post "https://x": EOF'), Decision(False, error='Post "https://x": EOF')),
    ],
)
async def test_what_it_says_is_decided(hook: Hook, clock: VirtualClock, status: Any, expected: Decision) -> None:
    hook.status = status
    assert await decision(WebhookAuthorizer(hook.ask, clock, WebhookTerms()), pods()) == expected


async def test_a_webhook_that_fails_closed_denies(hook: Hook, clock: VirtualClock) -> None:
    hook.status = CallFailed("EOF")
    terms = WebhookTerms(fails_closed=True)
    assert await decision(WebhookAuthorizer(hook.ask, clock, terms), pods()) == Decision(
        False, denied=True, error="EOF"
    )


async def test_answers_are_remembered_as_long_as_they_are_meant_to(hook: Hook, clock: VirtualClock) -> None:
    authorizer = WebhookAuthorizer(hook.ask, clock, WebhookTerms(allowed_seconds=300, refused_seconds=30))
    await decision(authorizer, pods())
    assert isinstance(authorizer.authorize(JOE, pods()), Decision), "known at once"
    await decision(authorizer, pods(verb="watch"))
    assert len(hook.asked) == 2, "that is another question"
    hook.status = {"allowed": False}
    await clock.advance(301)
    assert not (await decision(authorizer, pods())).allowed
    await clock.advance(31)
    hook.status = {"allowed": True}
    assert (await decision(authorizer, pods())).allowed


async def test_long_questions_and_failures_are_not_remembered(hook: Hook, clock: VirtualClock) -> None:
    authorizer = WebhookAuthorizer(hook.ask, clock, WebhookTerms())
    for _ in range(2):
        await decision(authorizer, pods(name="x" * 10_000))
    hook.status = CallFailed("EOF")
    for _ in range(2):
        await decision(authorizer, pods(name="y"))
    assert len(hook.asked) == 4


@pytest.mark.parametrize(("version", "field"), [("v1", "groups"), ("v1beta1", "group")])
async def test_either_version_is_sent(hook: Hook, clock: VirtualClock, version: Any, field: str) -> None:
    await decision(WebhookAuthorizer(hook.ask, clock, WebhookTerms(version=version)), pods())
    assert hook.asked[0]["apiVersion"] == f"authorization.k8s.io/{version}"
    assert hook.asked[0]["spec"][field] == ["dev"]


async def test_conditions_say_what_it_is_asked_about(hook: Hook, clock: VirtualClock) -> None:
    conditions = compile_conditions(["has(request.resourceAttributes)", "request.resourceAttributes.namespace == 'ns'"])
    authorizer = WebhookAuthorizer(hook.ask, clock, WebhookTerms(), conditions)
    assert (await decision(authorizer, pods())).allowed
    assert await decision(authorizer, pods(namespace="other")) == Decision(False)
    assert await decision(authorizer, PATH) == Decision(False), "one is false, and the other's error doesn't matter"
    failing = WebhookAuthorizer(
        hook.ask,
        clock,
        WebhookTerms(fails_closed=True),
        compile_conditions(["request.resourceAttributes.name == 'x'"]),
    )
    refused = await decision(failing, PATH)
    assert refused.denied
    assert "no such key: resourceAttributes" in refused.error
    assert len(hook.asked) == 1


async def test_its_rules_cannot_be_listed(hook: Hook, clock: VirtualClock) -> None:
    listed = WebhookAuthorizer(hook.ask, clock, WebhookTerms()).rules_for(JOE, "ns")
    assert listed.incomplete
    assert listed.errors == ("webhook authorizer does not support user rule resolution",)


WEBHOOK: dict[str, Any] = {
    "timeout": "3s",
    "authorizedTTL": "30s",
    "unauthorizedTTL": "10s",
    "subjectAccessReviewVersion": "v1",
    "matchConditionSubjectAccessReviewVersion": "v1",
    "failurePolicy": "Deny",
    "connectionInfo": {"type": "InClusterConfig"},
    "matchConditions": [{"expression": "request.user != 'x'"}],
}
KNOWN: tuple[Any, ...] = ("Node", "RBAC", "Webhook", "AlwaysAllow", "AlwaysDeny")


def read(path: Path, *authorizers: dict[str, Any]) -> Any:
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthorizationConfiguration",
        "authorizers": list(authorizers),
    }
    file = path / "authorization.yaml"
    file.write_text(yaml.safe_dump(document))
    return read_authorization(file, known=KNOWN)


def webhook(**changes: Any) -> dict[str, Any]:
    changed = {name: value for name, value in {**WEBHOOK, **changes}.items() if value is not None}
    return {"type": "Webhook", "name": "hook", "webhook": changed}


def test_a_configuration_names_who_decides(tmp_path: Path) -> None:
    (first, told), (second, nothing) = read(tmp_path, webhook(), {"type": "RBAC", "name": "rbac"})
    assert (first, second, nothing) == ("Webhook", "RBAC", None)
    assert told.terms == WebhookTerms(version="v1", allowed_seconds=30, refused_seconds=10, fails_closed=True)
    assert (told.timeout_seconds, told.kubeconfig) == (3, None)
    assert told.matches({"spec": {"user": "y"}})
    assert not told.matches({"spec": {"user": "x"}})


def test_answers_are_remembered_as_long_as_upstream_does_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    ((_, told),) = read(tmp_path, webhook(authorizedTTL=None, unauthorizedTTL="0s"))
    assert (told.terms.allowed_seconds, told.terms.refused_seconds) == (300, 30)
    ((_, told),) = read(tmp_path, webhook(cacheAuthorizedRequests=False, cacheUnauthorizedRequests=False))
    assert (told.terms.allowed_seconds, told.terms.refused_seconds) == (0, 0)


@pytest.mark.parametrize(
    ("authorizers", "reason"),
    [
        ([], "authorizers: Required value: at least one authorization mode must be defined"),
        ([{"type": "ABCD", "name": "x"}], 'authorizers[0].type: Unsupported value: "ABCD"'),
        (
            [{"type": "RBAC", "name": "x"}, {"type": "RBAC", "name": "z"}],
            'authorizers[1].type: Duplicate value: "RBAC"',
        ),
        ([{"type": "RBAC", "name": "x"}, {"type": "Node", "name": "x"}], 'authorizers[1].name: Duplicate value: "x"'),
        ([{"type": "RBAC", "name": "X"}], "authorizer name is invalid"),
        ([{"type": "RBAC"}], "authorizers[0].name: Required value"),
        ([{"type": "Webhook", "name": "x"}], "authorizers[0].webhook: Required value: required when type=Webhook"),
        ([{"type": "RBAC", "name": "x", "webhook": {}}], "may only be specified when type=Webhook"),
        ([webhook(timeout="31s")], "must be > 0s and <= 30s"),
        ([webhook(timeout=None)], "authorizers[0].webhook.timeout: Required value"),
        ([webhook(authorizedTTL="-1s")], "authorizers[0].webhook.authorizedTTL: Invalid value"),
        ([webhook(failurePolicy="Allow")], 'failurePolicy: Unsupported value: "Allow"'),
        ([webhook(subjectAccessReviewVersion="v2")], "subjectAccessReviewVersion: Unsupported value"),
        ([webhook(matchConditionSubjectAccessReviewVersion=None)], "required if match conditions are specified"),
        ([webhook(matchConditions=[{"expression": "request.verb"}])], "undefined field 'verb'"),
        ([webhook(matchConditions=[{"expression": "request.user"}])], "must evaluate to bool but got string"),
        ([webhook(matchConditions=[{"expression": " "}])], "matchConditions[0].expression: Required value"),
        ([webhook(connectionInfo={"type": "KubeConfigFile"})], "kubeConfigFile: Required value"),
        ([webhook(connectionInfo={"type": "KubeConfigFile", "kubeConfigFile": "x"})], "must be an absolute path"),
        ([webhook(ttl="1s")], 'unknown field "authorizers[0].webhook.ttl"'),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, authorizers: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        read(tmp_path, *authorizers)
    assert reason in str(caught.value)


async def test_answers_of_a_webhook_are_counted(hook: Any, clock: VirtualClock) -> None:
    registry = Registry()
    observe = AccessMetrics(registry, clock, "here").webhook("theirs")
    assert [family.name for family in registry] == [], "nothing is told of what nobody has"
    terms = WebhookTerms(allowed_seconds=0, refused_seconds=0)
    authorizer = WebhookAuthorizer(hook.ask, clock, terms, observe=observe)
    await decision(authorizer, pods())

    async def late(review: Any) -> Any:
        raise CallFailed("context deadline exceeded")

    await decision(WebhookAuthorizer(late, clock, terms, observe=observe), pods())
    closed = WebhookTerms(allowed_seconds=0, refused_seconds=0, fails_closed=True)
    await decision(WebhookAuthorizer(late, clock, closed, observe=observe), pods())
    told = b"".join([part async for part in exposition(registry)]).decode()
    assert 'apiserver_authorization_webhook_evaluations_total{name="theirs",result="success"} 1' in told
    assert 'apiserver_authorization_webhook_evaluations_total{name="theirs",result="timeout"} 2' in told
    assert 'apiserver_authorization_webhook_evaluations_fail_open_total{name="theirs",result="timeout"} 1' in told
    assert 'apiserver_authorization_webhook_duration_seconds_count{name="theirs",result="success"} 1' in told


async def test_files_that_are_read_again_are_counted(clock: VirtualClock) -> None:
    registry = Registry()
    metrics = AccessMetrics(registry, clock, "here")
    metrics.reloaded("authorization", well=True)
    metrics.reloaded("authorization", well=False)
    told = b"".join([part async for part in exposition(registry)]).decode()
    prefix = "apiserver_authorization_config_controller_automatic_reload"
    for status in ("success", "failure"):
        assert f'{prefix}s_total{{status="{status}",apiserver_id_hash="sha256:' in told
        assert f'{prefix}_last_timestamp_seconds{{status="{status}",apiserver_id_hash="sha256:' in told
