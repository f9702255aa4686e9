"""Evictions are granted and refused by budgets that somebody counts."""

from __future__ import annotations

from typing import Any

import pytest
from _clusters import Cluster
from _watching import until_object

from hyperkube_machinery.builtin import NODES, POD_DISRUPTION_BUDGETS, PODS
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio


def allows(count: int) -> Any:
    return lambda budget: (budget.get("status") or {}).get("disruptionsAllowed") == count


@pytest.mark.parametrize("flag", ["--min-available=1", "--min-available=50%", "--max-unavailable=1"])
async def test_a_budget_lets_go_what_it_may(cluster: Cluster, flag: str) -> None:
    client = cluster.client
    await cluster.start("controller-manager", "--secure-port=0", "--use-service-account-credentials")
    await client.create(NODES, {"metadata": {"name": "n"}})
    await cluster.kubectl("create", "deployment", "web", "--image=x", "--replicas=2")
    if "max" in flag:
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
        budget = {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
        await client.create(POD_DISRUPTION_BUDGETS, budget)
    else:
        await cluster.kubectl("create", "pdb", "web", "--selector=app=web", flag)
    await until_object(client, POD_DISRUPTION_BUDGETS, "web", allows(0), "default")
    await cluster.kubectl("wait", "--for=create", "pod", "--selector=app=web", "--timeout=30s")
    await until_object(
        client, POD_DISRUPTION_BUDGETS, "web", lambda one: one["status"].get("expectedPods") == 2, "default"
    )
    pods = [pod["metadata"]["name"] for pod in (await client.list(PODS, "default", labels="app=web")).items]
    assert len(pods) == 2
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    for name in pods:
        await client.patch(PODS, name, ready, "default", kind="strategic", subresource="status")
    await until_object(client, POD_DISRUPTION_BUDGETS, "web", allows(1), "default")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pods[0], "namespace": "default"}}
    await client.create(PODS, eviction, "default", name=pods[0], subresource="eviction")
    await until_object(client, POD_DISRUPTION_BUDGETS, "web", allows(0), "default")
    eviction["metadata"] = {"name": pods[1], "namespace": "default"}
    with pytest.raises(APIError) as refused:
        await client.create(PODS, eviction, "default", name=pods[1], subresource="eviction")
    assert refused.value.code == 429
