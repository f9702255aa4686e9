"""An object is encoded when it is written, and never again."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from hyperkube_machinery import encoding

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
OBJECTS = 500
WATCHERS = 100


def config_map(name: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": {"app": "x"}}}


async def test_get_list_and_watch_call_no_encoder_after_the_write(api: Any) -> None:
    for index in range(OBJECTS):
        await api.create(CONFIG_MAPS, config_map(f"cm-{index:03}"))
    before = encoding.calls()
    one = await api.get(f"{CONFIG_MAPS}/cm-007")
    everything = await api.get(CONFIG_MAPS)
    page = await api.get(f"{CONFIG_MAPS}?limit=100&labelSelector=app%3Dx")
    assert encoding.calls() == before
    assert one.json["metadata"]["name"] == "cm-007"
    assert len(everything.json["items"]) == OBJECTS
    assert len(page.json["items"]) == 100
    assert page.json["metadata"]["continue"]


async def test_a_hundred_watchers_cost_no_encoding_beyond_that_of_the_write(api: Any) -> None:
    before = encoding.calls()
    await api.create(CONFIG_MAPS, config_map("unwatched"))
    unwatched = encoding.calls() - before
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(api.watch(f"{CONFIG_MAPS}?watch=true")) for _ in range(WATCHERS)]
        for stream in streams:
            assert await stream.names(1) == [("ADDED", "unwatched")]
        before = encoding.calls()
        await api.create(CONFIG_MAPS, config_map("new"))
        for stream in streams:
            assert await stream.names(1) == [("ADDED", "new")]
        assert encoding.calls() - before == unwatched
        frames = {id(stream.frames[-1]) for stream in streams}
        assert len(frames) == 1, "the event was framed more than once"
