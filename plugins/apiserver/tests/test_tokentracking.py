"""The last use of tokens that are kept in secrets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hyperkube_apiserver.assembly import API, Settings, assemble
from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.populate import populate
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.tokentracking import CONFIG_MAP, LAST_USED, TokenUses, keep_tracked, publish_tracking
from hyperkube_core.testing import VirtualClock
from hyperkube_machinery.storage.memory import MemoryStore
from hyperkube_machinery.timestamps import format_seconds

pytestmark = pytest.mark.anyio

BEFORE_MIDNIGHT = 20718 * 86400 - 10.0
A_NIGHT = 20.0
Tree = dict[str, Any]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(now=BEFORE_MIDNIGHT)


@pytest.fixture
def uses(clock: VirtualClock) -> TokenUses:
    return TokenUses(clock)


@pytest.fixture
async def api(clock: VirtualClock, uses: TokenUses) -> AsyncIterator[API]:
    async with MemoryStore.open(clock=clock) as store:
        api = assemble(store, clock, Settings())
        async with api.hub.running(api.addresses.keep):
            await populate(api, clock, Settings(), secure_port=6443)
            task = asyncio.create_task(keep_tracked(api, clock, uses))
            yield api
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def found(api: API, resource: str, name: str, namespace: str = "default") -> Tree:
    served = api.resource("", resource)
    item = served.cache.get(served.kind.key(namespace, name))
    assert item is not None
    return decode_body(item.body)


def context(namespace: str = "default") -> WriteContext:
    return WriteContext(now=format_seconds(0), namespace=namespace)


async def test_a_secret_is_labelled_with_the_day_of_its_last_use(
    api: API, uses: TokenUses, clock: VirtualClock
) -> None:
    secrets = api.resource("", "secrets").registry
    tree = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default", "labels": {"a": "b"}},
    }
    await secrets.create(tree, context(), print)
    await api.hub.fresh()
    for _ in range(2):
        uses.note(found(api, "secrets", "s"))
        await clock.advance(0)
        await api.hub.fresh()
        today = format_seconds(clock.now())[:10]
        assert found(api, "secrets", "s")["metadata"]["labels"] == {"a": "b", LAST_USED: today}
        await clock.advance(A_NIGHT)


async def test_a_use_on_the_same_day_writes_nothing(api: API, uses: TokenUses) -> None:
    uses.note({"metadata": {"name": "s", "namespace": "default", "labels": {LAST_USED: uses.today}}})
    assert not uses.take()


async def test_another_secret_of_the_name_or_none_is_not_labelled(
    api: API, uses: TokenUses, clock: VirtualClock
) -> None:
    secrets = api.resource("", "secrets").registry
    await secrets.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, context(), print)
    await api.hub.fresh()
    uses.note({"metadata": {"name": "s", "namespace": "default", "uid": "of-another"}})
    uses.note({"metadata": {"name": "gone", "namespace": "default", "uid": "x"}})
    await clock.advance(5)
    await api.hub.fresh()
    assert "labels" not in found(api, "secrets", "s")["metadata"]


async def test_the_first_day_is_told_once_and_mended(api: API, clock: VirtualClock) -> None:
    first = format_seconds(clock.now())[:10]
    await publish_tracking(api, clock)
    await api.hub.fresh()
    await clock.advance(A_NIGHT)
    await publish_tracking(api, clock)
    await api.hub.fresh()
    assert found(api, "configmaps", CONFIG_MAP, "kube-system")["data"] == {"since": first}

    registry = api.resource("", "configmaps").registry
    await registry.update(CONFIG_MAP, lambda old: {**old, "data": {"since": "x"}}, context("kube-system"), print)
    await api.hub.fresh()
    await publish_tracking(api, clock)
    await api.hub.fresh()
    today = format_seconds(clock.now())[:10]
    assert today != first
    assert found(api, "configmaps", CONFIG_MAP, "kube-system")["data"] == {"since": today}

    await registry.delete(CONFIG_MAP, DeleteOptions(), context("kube-system"), print)
    await api.hub.fresh()
    await publish_tracking(api, clock)
    await api.hub.fresh()
    assert found(api, "configmaps", CONFIG_MAP, "kube-system")["data"] == {"since": today}
