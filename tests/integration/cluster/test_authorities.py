"""Servers beside the API server learn from it whose certificates name users."""

from __future__ import annotations

import pytest
from _clusters import Cluster

from hyperkube_machinery.builtin import CONFIG_MAPS

pytestmark = pytest.mark.anyio


async def test_the_authorities_of_clients_are_published(cluster: Cluster) -> None:
    found = await cluster.client.get(CONFIG_MAPS, "extension-apiserver-authentication", "kube-system")
    assert found["data"]["client-ca-file"] == (cluster.data_dir / "pki" / "ca.crt").read_text()
    scheduler = await cluster.connect(cluster.identity("system:kube-scheduler"))
    await scheduler.get(CONFIG_MAPS, "extension-apiserver-authentication", "kube-system")  # its role lets it
