"""Who lists and then watches knows what exists: nothing is missed, nothing told twice, whoever writes meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
LAST = "zz-last"
LABELS = {"a": ("1", "2", "3"), "b": ("1", "2")}

# What is asked for, and what it means.
SELECTORS: tuple[tuple[str, Callable[[dict[str, str]], bool]], ...] = (
    ("", lambda labels: True),
    ("a=1", lambda labels: labels.get("a") == "1"),
    ("a!=1", lambda labels: labels.get("a") != "1"),
    ("a", lambda labels: "a" in labels),
    ("!a", lambda labels: "a" not in labels),
    ("a in (1,2),b", lambda labels: labels.get("a") in ("1", "2") and "b" in labels),
    ("a notin (1),b!=2", lambda labels: labels.get("a") != "1" and labels.get("b") != "2"),
    ("a>1", lambda labels: labels.get("a", "0") > "1"),
    ("last", lambda labels: "last" in labels),
)


def config_map(random_: random.Random, name: str) -> dict[str, Any]:
    labels = {key: random_.choice(values) for key, values in LABELS.items() if random_.random() < 0.6}
    return {"metadata": {"name": name, "labels": labels}, "data": {"n": str(random_.randrange(3))}}


async def write(api: Any, random_: random.Random, count: int) -> None:
    """Make, change and remove objects of few names."""
    for _ in range(count):
        name = f"n{random_.randrange(6)}"
        chosen = random_.random()
        if chosen < 0.4:
            await api.call("POST", CONFIG_MAPS, config_map(random_, name))
        elif chosen < 0.75:
            patch = config_map(random_, name)
            for key in LABELS:
                patch["metadata"]["labels"].setdefault(key, None)
            await api.merge(f"{CONFIG_MAPS}/{name}", patch)
        else:
            await api.delete(f"{CONFIG_MAPS}/{name}")
        if random_.random() < 0.5:
            await asyncio.sleep(0)


def typeless(obj: dict[str, Any]) -> dict[str, Any]:
    """The object as a list shows it; events tell its type besides."""
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


class Mirror:
    """What a client knows by a list and the events that follow it."""

    def __init__(self, listed: dict[str, Any]) -> None:
        self.revision = int(listed["metadata"]["resourceVersion"])
        self.objects = {item["metadata"]["name"]: item for item in listed["items"]}

    def take(self, event: dict[str, Any]) -> None:
        mine = event["object"]["metadata"]
        name, revision = mine["name"], int(mine["resourceVersion"])
        assert revision > self.revision, "an event came late, or twice"
        self.revision = revision
        known = name in self.objects
        assert known == (event["type"] != "ADDED"), (event["type"], name)
        if event["type"] == "DELETED":
            del self.objects[name]
        else:
            self.objects[name] = event["object"]


async def follow(api: Any, random_: random.Random, selector: str, limit: int) -> Mirror:
    """List in pages of `limit`, then watch up to the last object."""
    for _ in range(random_.randrange(30)):
        await asyncio.sleep(0)
    asked = f"labelSelector={quote(selector)}"
    page = (await api.get(f"{CONFIG_MAPS}?{asked}&limit={limit}")).json
    items = page["items"]
    while token := page["metadata"].get("continue"):
        await asyncio.sleep(0)
        page = (await api.get(f"{CONFIG_MAPS}?{asked}&limit={limit}&continue={token}")).json
        items += page["items"]
    mirror = Mirror({**page, "items": items})
    if LAST in mirror.objects:
        return mirror
    async with api.watch(f"{CONFIG_MAPS}?watch=1&{asked}&resourceVersion={mirror.revision}") as stream:
        while LAST not in mirror.objects:
            mirror.take(await stream.next())
    return mirror


@pytest.mark.parametrize("seed", range(5))
async def test_a_list_and_its_watch_tell_what_exists(api: Any, seed: int) -> None:
    random_ = random.Random(seed)
    await write(api, random_, 20)
    labels = {"a": "2", "b": "1", "last": "yes"}
    wanted = [(text, means) for text, means in SELECTORS if means(labels)]
    followers = [
        asyncio.create_task(follow(api, random.Random(f"{seed} {text} {limit}"), text, limit))
        for text, _ in wanted
        for limit in (0, 2)
    ]
    await asyncio.gather(*(write(api, random.Random(f"{seed} {writer}"), 40) for writer in range(4)))
    await api.create(CONFIG_MAPS, {"metadata": {"name": LAST, "labels": labels}})
    mirrors = await asyncio.wait_for(asyncio.gather(*followers), 60)
    existing = {item["metadata"]["name"]: item for item in (await api.get(CONFIG_MAPS)).json["items"]}
    for index, mirror in enumerate(mirrors):
        text, means = wanted[index // 2]
        expected = {name: one for name, one in existing.items() if means(one["metadata"].get("labels") or {})}
        known = {name: typeless(one) for name, one in mirror.objects.items()}
        assert known == expected, text


@pytest.mark.parametrize("seed", range(3))
async def test_selectors_select_what_they_say(api: Any, seed: int) -> None:
    random_ = random.Random(seed)
    await write(api, random_, 60)
    everything = (await api.get(CONFIG_MAPS)).json["items"]
    for text, means in SELECTORS:
        listed = (await api.get(f"{CONFIG_MAPS}?labelSelector={quote(text)}")).json["items"]
        assert listed == [one for one in everything if means(one["metadata"].get("labels") or {})], text
    for one in everything:
        name = one["metadata"]["name"]
        for text, found in ((f"metadata.name={name}", [one]), (f"metadata.name!={name}", everything)):
            listed = (await api.get(f"{CONFIG_MAPS}?fieldSelector={quote(text)}")).json["items"]
            assert listed == [item for item in found if (item is one) == ("!=" not in text)], text
