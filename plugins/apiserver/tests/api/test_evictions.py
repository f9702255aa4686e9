"""Evictions, and what budgets say to them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."
TWO_BUDGETS = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
EVICTED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def make_pod(api: Any, name: str = "p", *, phase: str = "Running", ready: bool = True) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0}
    await api.create(PODS, {"metadata": {"name": name, "labels": {"a": "b"}}, "spec": spec})
    binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}}
    await api.create(f"{PODS}/{name}/binding", binding)
    conditions = [{"type": "Ready", "status": str(ready)}]
    change = {"status": {"phase": phase, "conditions": conditions}}
    reply = await api.call("PATCH", f"{PODS}/{name}/status", change, content_type="application/merge-patch+json")
    assert reply.status == 200
    return reply.json  # type: ignore[no-any-return]


async def make_budget(api: Any, name: str = "b", *, policy: str | None = None, **status: Any) -> None:
    spec: dict[str, Any] = {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}
    if policy is not None:
        spec["unhealthyPodEvictionPolicy"] = policy
    await api.create(BUDGETS, {"metadata": {"name": name}, "spec": spec})
    change = {"status": {"observedGeneration": 1, **status}}
    reply = await api.call("PATCH", f"{BUDGETS}/{name}/status", change, content_type="application/merge-patch+json")
    assert reply.status == 200, reply.body


async def evict(api: Any, name: str = "p", query: str = "", **options: Any) -> Any:
    eviction: dict[str, Any] = {"metadata": {"name": name}}
    if options:
        eviction["deleteOptions"] = options
    return await api.call("POST", f"{PODS}/{name}/eviction{query}", eviction)


async def exists(api: Any, name: str = "p") -> bool:
    return bool((await api.get(f"{PODS}/{name}")).status == 200)


async def test_a_pod_without_a_budget_is_deleted(api: Any) -> None:
    await make_pod(api)
    reply = await evict(api)
    assert (reply.status, reply.json) == (201, EVICTED)
    assert not await exists(api)


async def test_a_pod_that_goes_gracefully_tells_why(api: Any) -> None:
    await make_pod(api)
    assert (await evict(api, gracePeriodSeconds=30)).status == 201
    pod = (await api.get(f"{PODS}/p")).json
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    (_, condition) = pod["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"], condition["message"]) == (
        *("DisruptionTarget", "True", "EvictionByEvictionAPI"),
        "Eviction API: evicting",
    )


async def test_a_budget_counts_every_eviction_until_none_is_allowed(api: Any) -> None:
    for name in ("p", "q"):
        await make_pod(api, name)
    await make_budget(api, disruptionsAllowed=1, currentHealthy=2, desiredHealthy=1)
    assert (await evict(api, "p")).status == 201
    status = (await api.get(f"{BUDGETS}/b")).json["status"]
    assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["p"])
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        *("DisruptionAllowed", "False"),
        "InsufficientPods",
    )
    reply = await evict(api, "q")
    assert (reply.status, reply.json["reason"], reply.json["message"]) == (429, "TooManyRequests", VIOLATED)
    message = "The disruption budget b does not allow evicting pods currently"
    assert reply.json["details"] == {"causes": [{"reason": "DisruptionBudget", "message": message}]}
    assert await exists(api, "q")


async def test_evictions_at_the_same_time_take_no_more_than_is_allowed(api: Any) -> None:
    names = [f"p{number}" for number in range(8)]
    for name in names:
        await make_pod(api, name)
    await make_budget(api, disruptionsAllowed=3, currentHealthy=8, desiredHealthy=5)
    replies = await asyncio.gather(*(evict(api, name) for name in names))
    assert sorted(reply.status for reply in replies) == [201] * 3 + [429] * 5
    assert [await exists(api, name) for name in names].count(False) == 3


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            {"currentHealthy": 1, "desiredHealthy": 2},
            "The disruption budget b needs 2 healthy pods and has 1 currently",
        ),
        (
            {
                "conditions": [
                    {
                        "type": "DisruptionAllowed",
                        "status": "False",
                        "reason": "SyncFailed",
                        "message": "no scale",
                        "lastTransitionTime": "2026-01-01T00:00:00Z",
                    }
                ]
            },
            "The disruption budget b does not allow evicting pods currently because it failed sync: no scale",
        ),
        (
            {
                "currentHealthy": 2,
                "desiredHealthy": 1,
                "conditions": [
                    {
                        "type": "DisruptionAllowed",
                        "status": "False",
                        "reason": "Why",
                        "message": "so",
                        "lastTransitionTime": "2026-01-01T00:00:00Z",
                    }
                ],
            },
            "The disruption budget b does not allow evicting pods currently (Why): so",
        ),
    ],
)
async def test_a_refusal_tells_why(api: Any, status: dict[str, Any], message: str) -> None:
    await make_pod(api)
    await make_budget(api, **status)
    reply = await evict(api)
    assert reply.status == 429
    assert reply.json["details"]["causes"][0]["message"] == message
    assert "Retry-After" not in dict(reply.headers)


async def test_a_budget_that_was_not_looked_at_yet_refuses_for_a_while(api: Any) -> None:
    await make_pod(api)
    await make_budget(api, observedGeneration=0, disruptionsAllowed=5)
    reply = await evict(api)
    assert reply.status == 429
    assert dict(reply.headers)["Retry-After"] == "10"
    assert reply.json["details"] == {
        "causes": [
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget b is still being processed by the server.",
            }
        ],
        "retryAfterSeconds": 10,
    }


async def test_two_budgets_are_one_too_many(api: Any) -> None:
    await make_pod(api)
    for name in ("b", "c"):
        await make_budget(api, name, disruptionsAllowed=1)
    reply = await evict(api)
    assert (reply.status, reply.json) == (
        500,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": TWO_BUDGETS,
            "code": 500,
        },
    )


@pytest.mark.parametrize(
    ("policy", "status", "code"),
    [
        ("AlwaysAllow", {}, 201),
        ("IfHealthyBudget", {"currentHealthy": 1, "desiredHealthy": 1}, 201),
        (None, {"currentHealthy": 2, "desiredHealthy": 1}, 201),
        (None, {"currentHealthy": 0, "desiredHealthy": 1}, 429),
        (None, {"currentHealthy": 0, "desiredHealthy": 0}, 429),
    ],
)
async def test_a_pod_that_is_not_ready_may_be_spared(
    api: Any, policy: str | None, status: dict[str, Any], code: int
) -> None:
    await make_pod(api, ready=False)
    await make_budget(api, policy=policy, **status)
    assert (await evict(api)).status == code


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
async def test_a_pod_that_does_not_run_is_nobodys_loss(api: Any, phase: str) -> None:
    await make_pod(api, phase=phase)
    await make_budget(api)
    assert (await evict(api)).status == 201
    assert not await exists(api)


@pytest.mark.parametrize(("query", "options"), [("?dryRun=All", {}), ("", {"dryRun": ["All"]})])
async def test_a_dry_run_changes_nothing(api: Any, query: str, options: dict[str, Any]) -> None:
    await make_pod(api)
    await make_budget(api, disruptionsAllowed=1, currentHealthy=2, desiredHealthy=1)
    assert (await evict(api, "p", query, **options)).status == 201
    assert (await api.get(f"{BUDGETS}/b")).json["status"]["disruptionsAllowed"] == 1
    assert "DisruptionTarget" not in str((await api.get(f"{PODS}/p")).json)


async def test_what_is_asked_of_the_deletion_holds(api: Any) -> None:
    pod = await make_pod(api)
    reply = await evict(api, preconditions={"uid": "other"})
    assert (reply.status, reply.json["message"]) == (
        409,
        'Operation cannot be fulfilled on Pod "p": the UID in the precondition (other) does not match the UID in '
        f"record ({pod['metadata']['uid']}). The object might have been deleted and then recreated",
    )
    reply = await evict(api, preconditions={"resourceVersion": "1"})
    assert reply.status == 409
    assert "the ResourceVersion in the precondition (1)" in reply.json["message"]
    assert (await evict(api, preconditions={"resourceVersion": pod["metadata"]["resourceVersion"]})).status == 201


async def test_bad_evictions(api: Any) -> None:
    reply = await evict(api, "none")
    assert (reply.status, reply.json["message"]) == (404, 'pods "none" not found')
    reply = await api.call("POST", f"{PODS}/p/eviction", {"metadata": {"name": "q"}})
    assert (reply.status, reply.json["message"]) == (400, "name in URL does not match name in Eviction object")
    reply = await evict(api, ignoreStoreReadErrorWithClusterBreakingPotential=True)
    assert reply.status == 422
    reply = await evict(api, "p", "?dryRun=All", dryRun=["Some"])
    text = "Non-matching dry-run options in request and content: [All] and [Some]"
    assert (reply.status, reply.json["message"]) == (500, text)
    reply = await api.get(f"{PODS}/p/eviction")
    assert reply.status == 405


@pytest.mark.parametrize("version", ["policy/v1", "policy/v1beta1"])
async def test_both_versions_are_taken(api: Any, version: str) -> None:
    await make_pod(api)
    body = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": "p"}}
    assert (await api.call("POST", f"{PODS}/p/eviction", body)).status == 201


async def test_admission_is_asked_about_the_eviction_alone(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_pod(api)
    asked: list[tuple[str, str, str]] = []

    class Recorder:
        async def admit(self, attributes: Any) -> None:
            asked.append((str(attributes.operation), attributes.subresource, attributes.obj["kind"]))

        async def validate(self, attributes: Any) -> None: ...

    monkeypatch.setattr(api.api.resource("", "pods").registry, "admission", Recorder())
    assert (await evict(api)).status == 201
    assert asked == [("CREATE", "eviction", "Eviction")]
