"""Nodes and runtimes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hyperkube_kubelet.runtime.process.runtime import ProcessRuntime

from .nodes import MODES, Node, node_of_mode


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def node(mode: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A node that nothing runs on yet; it ends with the test."""
    with node_of_mode(mode, monkeypatch) as node:
        yield node
        await node.end()


@pytest.fixture
async def process(node: Node) -> AsyncIterator[ProcessRuntime]:
    async with node.kubelet() as runtime:
        if node.mode != "plain" and not runtime.node.isolated:
            pytest.skip(f"this machine lets nobody have namespaces: {runtime.node.why}")
        yield runtime
