"""Real containers: as root, on a containerd of the tests' own. Nothing here runs unless HK_TEST_E2E is 1."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import _containerd
import _tools
import pytest
from _containerd import Containerd, containerd_running
from _nodes import RealNode, real_node

VARIABLE = "HK_TEST_E2E"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(VARIABLE) == "1":
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"{VARIABLE} is not 1: `nox -s e2e` runs real containers"))


@pytest.fixture(scope="session", autouse=True)
def path() -> Iterator[None]:
    """Let tests, and what they start, find the programs that were brought for them."""
    if sys.platform != "linux":
        yield
        return
    brought = [str(program.parent) for program in (_tools.nft(), _tools.iptables(), _tools.conntrack())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([*brought, os.environ["PATH"]]))
        yield


@pytest.fixture(scope="session")
def containerd() -> Iterator[Containerd]:
    """A daemon for all tests, of whose pods nothing is left in the end."""
    why = _containerd.missing()
    if why:
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="hk-e2e-", dir="/var/tmp") as folder:
        with containerd_running(Path(folder) / "d") as daemon:
            yield daemon
            left = daemon.leftovers()
        assert left == []


@pytest.fixture(scope="module")
async def node(containerd: Containerd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealNode]:
    """A node of this module's tests, in a cluster of its own."""
    folder = tmp_path_factory.mktemp("cluster")
    async with real_node(containerd, folder, lambda: _tools.kubectl()[0]) as node:
        yield node
