"""Claims and volumes that are in use stay, and go with their namespace."""

from __future__ import annotations

from typing import Any

import pytest
from _clusters import Cluster
from _watching import gone, until_object

from hyperkube_machinery.builtin import (
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SERVICE_ACCOUNTS,
)

pytestmark = pytest.mark.anyio

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def pod(name: str, claim: str, **spec: Any) -> dict[str, Any]:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    containers = [{"name": "c", "image": "x"}]
    return {
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"containers": containers, "volumes": [volume], **spec},
    }


async def test_what_is_in_use_stays_until_it_is_not(cluster: Cluster) -> None:
    client = cluster.client
    await cluster.start("controller-manager", "--secure-port=0", "--use-service-account-credentials")
    await client.create(NAMESPACES, {"metadata": {"name": "ns"}})
    await until_object(client, SERVICE_ACCOUNTS, "default", lambda _: True, "ns")
    for name in ("used", "free"):
        await client.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": name, "namespace": "ns"}, "spec": CLAIM})
    await client.create(PODS, pod("user", "used", nodeName="n"))
    for name in ("used", "free"):
        await client.delete(PERSISTENT_VOLUME_CLAIMS, name, "ns")
    await gone(client, PERSISTENT_VOLUME_CLAIMS, "free", "ns")
    kept = await client.get(PERSISTENT_VOLUME_CLAIMS, "used", "ns")
    assert kept["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    await client.delete(PODS, "user", "ns", grace_seconds=0)
    await gone(client, PERSISTENT_VOLUME_CLAIMS, "used", "ns")


async def test_a_namespace_with_claims_goes_and_so_does_a_volume(cluster: Cluster) -> None:
    client = cluster.client
    await cluster.start("controller-manager", "--secure-port=0", "--use-service-account-credentials")
    await client.create(NAMESPACES, {"metadata": {"name": "ns"}})
    await client.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "data", "namespace": "ns"}, "spec": CLAIM})
    spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/nowhere"}}
    await client.create(PERSISTENT_VOLUMES, {"metadata": {"name": "volume"}, "spec": spec})
    await client.delete(PERSISTENT_VOLUMES, "volume")
    await client.delete(NAMESPACES, "ns")
    await gone(client, PERSISTENT_VOLUMES, "volume")
    await gone(client, NAMESPACES, "ns")
