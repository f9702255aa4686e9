"""A cluster of hk's servers, in processes of their own and in one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import _tools
import pytest
from _clusters import Cluster, Mode, open_cluster


@pytest.fixture(autouse=True)
def guarded_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that changes what its caches show, which others share, ends with an error that says where."""
    monkeypatch.setenv("KUBE_CACHE_MUTATION_DETECTOR", "true")


@pytest.fixture(params=["process", "in-process"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """An API server; the test starts what it wants beside it. Each test runs in both modes."""
    async with open_cluster(cast(Mode, request.param), tmp_path, lambda: _tools.kubectl()[0]) as cluster:
        yield cluster


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Cluster]:
    """The same in processes alone, for what kills them."""
    async with open_cluster("process", tmp_path, lambda: _tools.kubectl()[0]) as cluster:
        yield cluster
