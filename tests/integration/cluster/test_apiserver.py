"""The API server as its neighbours see it, over HTTPS and in the same process."""

from __future__ import annotations

import pytest
from _clusters import Cluster

from hyperkube_machinery.builtin import NAMESPACES, NODES
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio


async def test_a_neighbour_is_who_its_certificate_says(cluster: Cluster) -> None:
    somebody = await cluster.connect(cluster.identity("ann", "people"))
    with pytest.raises(APIError) as refused:
        await somebody.list(NODES)
    assert refused.value.code == 403
    assert 'User "ann" cannot list resource "nodes"' in str(refused.value)


async def test_kubectl_sees_what_a_neighbour_made(cluster: Cluster) -> None:
    await cluster.client.create(NAMESPACES, {"metadata": {"name": "made"}})
    assert await cluster.kubectl("get", "namespace", "made", "-o", "name") == "namespace/made\n"
