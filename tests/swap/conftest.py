"""Clusters of hk's servers and Kubernetes' own together. Nothing here runs unless HK_TEST_PEERS names their folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import _tools
import pytest
from _peers import MixedCluster, open_mixed

NODES = ("one", "two")

LINEUPS = {
    "controller-manager": ("controller-manager",),
    "scheduler": ("scheduler",),
    "both": ("controller-manager", "scheduler"),
    "apiserver": ("apiserver",),
    "apiserver-and-scheduler": ("apiserver", "scheduler"),
}
"""Which servers are Kubernetes' own; all others are hk's."""


@pytest.fixture(scope="module", params=LINEUPS)
async def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[MixedCluster]:
    """A cluster of two hollow nodes."""
    folder = tmp_path_factory.mktemp("cluster")
    async with open_mixed(LINEUPS[request.param], folder, lambda: _tools.kubectl()[0]) as cluster:
        await cluster.start_all(NODES)
        yield cluster
