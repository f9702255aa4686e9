"""Authors of admission policies are told what is doubtful about their expressions."""

from __future__ import annotations

from typing import Any

import pytest
from _clusters import Cluster
from _watching import until_object

from hyperkube_machinery.builtin import VALIDATING_ADMISSION_POLICIES

pytestmark = pytest.mark.anyio


def policy(name: str, expression: str) -> dict[str, Any]:
    rule = {"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]}
    return {"metadata": {"name": name}, "spec": spec}


def checked(generation: int) -> Any:
    return lambda found: (found.get("status") or {}).get("observedGeneration") == generation


async def test_the_status_of_a_policy_tells_what_is_doubtful(cluster: Cluster) -> None:
    client = cluster.client
    await cluster.start("controller-manager", "--secure-port=0", "--use-service-account-credentials")
    await client.create(VALIDATING_ADMISSION_POLICIES, policy("doubtful", "object.spec.replicas > 'one'"))
    found = await until_object(client, VALIDATING_ADMISSION_POLICIES, "doubtful", checked(1))
    (warning,) = found["status"]["typeChecking"]["expressionWarnings"]
    assert warning["fieldRef"] == "spec.validations[0].expression"
    told = "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to"
    assert warning["warning"].startswith(told)
    better = {**found, "spec": {**found["spec"], "validations": [{"expression": "object.spec.replicas > 1"}]}}
    await client.replace(VALIDATING_ADMISSION_POLICIES, better)
    found = await until_object(client, VALIDATING_ADMISSION_POLICIES, "doubtful", checked(2))
    assert found["status"]["typeChecking"] == {}
