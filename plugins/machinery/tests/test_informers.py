"""Informers: what they show, whom they tell, and how they get over failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hyperkube_machinery.builtin import NODES, PODS
from hyperkube_machinery.cache import Cache
from hyperkube_machinery.client import Client, Unreachable
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import CacheChanged, Informer, Informers, key_of, split_key
from hyperkube_machinery.testing.api import Asked, MemoryAPI
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]


def pod(name: str, namespace: str = "n", node: str = "", **about: Any) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **about},
        "spec": {"nodeName": node},
    }


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def api() -> MemoryAPI:
    return MemoryAPI()


@pytest.fixture
async def client(api: MemoryAPI, clock: VirtualClock) -> AsyncIterator[Client]:
    async with api.client(clock) as client:
        yield client


class Told:
    """A handler that writes down what it is told: `+a`, `~a` and `-a`."""

    def __init__(self, informer: Informer) -> None:
        self.told: list[str] = []
        informer.on_change(self)

    def __call__(self, old: Tree | None, new: Tree | None) -> None:
        sign = "+" if old is None else "-" if new is None else "~"
        self.told.append(sign + (new or old or {})["metadata"]["name"])

    def take(self) -> list[str]:
        told, self.told = self.told, []
        return told


@pytest.fixture
def pods(client: Client, clock: VirtualClock) -> Informer:
    return Informer(client, clock, PODS, indexes={"node": lambda pod: [pod["spec"]["nodeName"]]})


@pytest.fixture
def told(pods: Informer) -> Told:
    return Told(pods)


@asynccontextmanager
async def following(informer: Informer, clock: VirtualClock) -> AsyncIterator[None]:
    async with informer.running():
        await clock.advance(0)
        yield


def names(objects: list[Tree]) -> list[str]:
    return sorted(obj["metadata"]["name"] for obj in objects)


def lists(api: MemoryAPI) -> int:
    return sum(asked.query.get("watch") != "true" for asked in api.asked)


def streamed(api: MemoryAPI) -> int:
    return sum(asked.query.get("sendInitialEvents") == "true" for asked in api.asked)


@pytest.mark.parametrize(
    "odd", [{"metadata": {}}, {"metadata": {"name": "odd"}, "spec": None}, {"metadata": None}, None]
)
async def test_what_is_no_object_keeps_it_from_nothing_but_itself(
    odd: Any, api: MemoryAPI, pods: Informer, clock: VirtualClock
) -> None:
    api.put("/api/v1/pods", pod("a"))
    async with following(pods, clock):
        tell = api.put("/api/v1/pods", pod("b"))
        api._history[-1] = (api.revision, "MODIFIED", ("/api/v1/pods", "n", "b"), odd)
        await clock.advance(60)
        assert names(pods.list()) == ["a", "b"]
        assert pods.get("n/b") == tell


async def test_it_shows_what_is_there_and_every_change(
    api: MemoryAPI, pods: Informer, told: Told, clock: VirtualClock
) -> None:
    api.put("/api/v1/pods", pod("a", node="x"))
    assert not pods.synced
    async with following(pods, clock):
        assert pods.synced
        assert told.take() == ["+a"]
        api.put("/api/v1/pods", pod("b", "m", node="x"))
        api.put("/api/v1/pods", pod("a", node="y"))
        await clock.advance(0)
        assert told.take() == ["+b", "~a"]
        assert pods.by("node", "x") == [pods.get("m/b")]
        assert (pods.values("node"), names(pods.list()), names(pods.list("n"))) == (["x", "y"], ["a", "b"], ["a"])
        api.remove("/api/v1/namespaces/n/pods/a")
        await clock.advance(0)
        assert told.take() == ["-a"]
        assert (pods.get("n/a"), pods.by("node", "y"), len(pods), "m/b" in pods) == (None, [], 1, True)
    assert (lists(api), streamed(api)) == (0, 1)


async def test_it_lists_where_lists_are_not_streamed(
    api: MemoryAPI, pods: Informer, told: Told, clock: VirtualClock
) -> None:
    api.streams_lists = False
    api.put("/api/v1/pods", pod("a"))
    async with following(pods, clock):
        assert told.take() == ["+a"]
        api.put("/api/v1/pods", pod("b"))
        await clock.advance(0)
        assert told.take() == ["+b"]
        api.end_watches()
        api.put("/api/v1/pods", pod("c"))
        api.forget()
        await clock.advance(10)
        assert told.take() == ["+c"]
    assert (lists(api), streamed(api)) == (2, 1)


@pytest.mark.parametrize("code", [404, 500, 503])
async def test_it_lists_when_a_list_can_not_be_streamed_now(
    code: int, api: MemoryAPI, pods: Informer, told: Told, clock: VirtualClock
) -> None:
    refusal = APIError.of(code, "Whatever", "the required storage feature RequestWatchProgress is disabled")
    api.refuse(refusal, lambda asked: asked.query.get("sendInitialEvents") == "true")
    api.put("/api/v1/pods", pod("a"))
    async with following(pods, clock):
        assert told.take() == ["+a"]
        api.put("/api/v1/pods", pod("b"))
        await clock.advance(0)
        assert told.take() == ["+b"]
        api.end_watches()
        api.put("/api/v1/pods", pod("c"))
        api.forget()
        await clock.advance(10)
        assert told.take() == ["+c"]
    assert (lists(api), streamed(api)) == (1, 2)


async def test_what_only_appliers_read_is_not_kept(api: MemoryAPI, pods: Informer, clock: VirtualClock) -> None:
    api.put("/api/v1/pods", pod("a", managedFields=[{"manager": "x"}]))
    async with following(pods, clock):
        api.put("/api/v1/pods", pod("b", managedFields=[{"manager": "x"}]))
        await clock.advance(0)
        assert ["managedFields" in one["metadata"] for one in pods.list()] == [False, False]


async def test_a_watch_that_ends_is_taken_up_where_it_was(
    api: MemoryAPI, pods: Informer, told: Told, clock: VirtualClock
) -> None:
    api.put("/api/v1/pods", pod("a"))
    async with following(pods, clock):
        await clock.advance(5)
        for name in ("b", "c"):
            api.end_watches()
            api.put("/api/v1/pods", pod(name))
            await clock.advance(5)
        assert told.take() == ["+a", "+b", "+c"]
        assert pods.resource_version == "3"
    assert streamed(api) == 1


async def test_a_watch_that_breaks_off_is_taken_up_where_it_was(
    api: MemoryAPI, pods: Informer, told: Told, clock: VirtualClock
) -> None:
    api.put("/api/v1/pods", pod("a"))
    api.refuse(Unreachable("connection refused"), lambda asked: asked.query.get("resourceVersion") == "1", times=3)
    async with following(pods, clock):
        await clock.advance(5)
        api.end_watches()
        await clock.advance(0)
        api.put("/api/v1/pods", pod("b"))
        await clock.advance(0.5)
        assert told.take() == ["+a"]
        await clock.advance(20)
        assert told.take() == ["+b"]
    assert streamed(api) == 1


async def test_a_server_that_is_restarted_often_is_soon_heard_of_each_time(
    api: MemoryAPI, pods: Informer, told: Told, clock: VirtualClock
) -> None:
    pods._reflector._backoff._chance = lambda: 1.0
    async with following(pods, clock):
        for number in range(10):
            await clock.advance(5)
            api.refuse(Unreachable("connection refused"), times=1)
            api.end_watches()
            await clock.advance(0)
            api.put("/api/v1/pods", pod(f"p{number}"))
            await clock.advance(2)
            assert told.take() == [f"+p{number}"]


async def test_where_history_is_gone_it_starts_over_and_tells_the_difference(
    api: MemoryAPI, pods: Informer, told: Told, clock: VirtualClock
) -> None:
    for name in ("gone", "same", "changed"):
        api.put("/api/v1/pods", pod(name))
    async with following(pods, clock):
        await clock.advance(5)
        told.take()
        same = pods.get("n/same")
        api.end_watches()
        api.remove("/api/v1/namespaces/n/pods/gone")
        api.put("/api/v1/pods", pod("changed"))
        api.put("/api/v1/pods", pod("new"))
        api.forget()
        await clock.advance(10)
        assert sorted(told.take()) == ["+new", "-gone", "~changed"]
        assert pods.get("n/same") is same
        assert streamed(api) == 2
        api.put("/api/v1/pods", pod("later"))
        await clock.advance(0)
        assert told.take() == ["+later"]


async def test_another_object_of_the_same_name_is_a_change(
    api: MemoryAPI, pods: Informer, told: Told, clock: VirtualClock
) -> None:
    api.put("/api/v1/pods", pod("a"))
    async with following(pods, clock):
        await clock.advance(5)
        api.end_watches()
        api.remove("/api/v1/namespaces/n/pods/a")
        api.put("/api/v1/pods", pod("a"))
        api.forget()
        await clock.advance(10)
        assert told.take() == ["+a", "~a"]
        assert (pods.get("n/a") or {})["metadata"]["uid"] == "uid-3"


async def test_it_waits_longer_each_time_and_by_chance(
    api: MemoryAPI, client: Client, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse(APIError.of(403, "Forbidden", "not yet"), times=4)
    pods = Informer(client, clock, PODS)
    pods._reflector._backoff._chance = lambda: 0.5
    begins: list[float] = []
    async with pods.running():
        for second in range(400):
            await clock.advance(0.1)
            if len(api.asked) > len(begins):
                begins.append(round(second / 10, 1))
        assert pods.synced
    # 0.8, 1.6, 3.2 and 6.4 seconds, and half of each.
    assert begins == pytest.approx([0, 1.2, 3.6, 8.4, 18.0], abs=0.2)
    assert "failed to list pods: not yet" in caplog.text


async def test_a_server_that_was_set_back_is_listed_anew(
    api: MemoryAPI, pods: Informer, told: Told, clock: VirtualClock
) -> None:
    api.put("/api/v1/pods", pod("a"))
    too_large = APIError.of(504, "Timeout", "Too large resource version: 1, current: 0", {"retryAfterSeconds": 1})
    async with following(pods, clock):
        await clock.advance(5)
        api.refuse(too_large, lambda asked: asked.query.get("resourceVersion") == "1")
        api.end_watches()
        await clock.advance(10)
        assert pods.resource_version == "1"
    assert api.asked[-1].query.get("resourceVersion", "") == ""
    assert streamed(api) == 2


async def test_a_busy_server_is_asked_for_the_same_again(
    api: MemoryAPI, pods: Informer, told: Told, clock: VirtualClock
) -> None:
    api.put("/api/v1/pods", pod("a"))
    async with following(pods, clock):
        await clock.advance(5)
        api.refuse(APIError.of(429, "TooManyRequests", "busy"), times=2)
        api.end_watches()
        await clock.advance(1)
        api.put("/api/v1/pods", pod("b"))
        await clock.advance(20)
        assert told.take() == ["+a", "+b"]
    assert streamed(api) == 1


async def test_a_list_that_ends_too_soon_changes_nothing(
    api: MemoryAPI, client: Client, told: Told, pods: Informer, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended:
        async def batch(self) -> list[Any]:
            return []

        def close(self) -> None:
            pass

    async def open_watch(*args: Any, **options: Any) -> Ended:
        return Ended()

    api.put("/api/v1/pods", pod("a"))
    with monkeypatch.context() as patched:
        patched.setattr(client, "open_watch", open_watch)
        async with following(pods, clock):
            assert not pods.synced
            patched.undo()
            await clock.advance(5)
            assert told.take() == ["+a"]


async def test_watches_that_end_at_once_are_not_begun_without_end(
    api: MemoryAPI, pods: Informer, clock: VirtualClock
) -> None:
    async with following(pods, clock):
        for _ in range(100):
            api.end_watches()
            await clock.advance(0.01)
    assert len(api.asked) < 5


async def test_who_comes_late_is_told_what_is_here(api: MemoryAPI, pods: Informer, clock: VirtualClock) -> None:
    api.put("/api/v1/pods", pod("a"))
    async with following(pods, clock):
        late = Told(pods)
        assert late.take() == ["+a"]
        api.put("/api/v1/pods", pod("b"))
        await clock.advance(0)
        assert late.take() == ["+b"]


async def test_a_handler_that_fails_spoils_nothing(
    api: MemoryAPI, pods: Informer, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(old: Tree | None, new: Tree | None) -> None:
        raise ValueError("a bug")

    pods.on_change(broken)
    sound = Told(pods)
    api.put("/api/v1/pods", pod("a"))
    with caplog.at_level(logging.ERROR):
        async with following(pods, clock):
            assert sound.take() == ["+a"]
    assert "a handler failed for Pod n/a" in caplog.text


async def test_the_last_state_of_what_is_gone_is_told(api: MemoryAPI, pods: Informer, clock: VirtualClock) -> None:
    seen: list[Tree | None] = []
    pods.on_change(lambda old, new: seen.append(old) if new is None else None)
    api.put("/api/v1/pods", pod("a"))
    async with following(pods, clock):
        api.remove("/api/v1/namespaces/n/pods/a")
        await clock.advance(0)
    assert [one["metadata"]["resourceVersion"] for one in seen if one] == ["2"]


async def test_one_selection_has_one_informer_with_all_indexes(
    api: MemoryAPI, client: Client, clock: VirtualClock
) -> None:
    informers = Informers(client, clock)

    def by_node(pod: Tree) -> list[str]:
        return [pod["spec"]["nodeName"]]

    api.put("/api/v1/pods", pod("a", node="x"))
    first = informers.of(PODS)
    async with informers.running():
        await clock.advance(0)
        await informers.synced()
        assert informers.of(PODS, indexes={"node": by_node}) is first
        assert names(first.by("node", "x")) == ["a"]
        assert informers.of(PODS, indexes={"node": by_node}) is first
        with pytest.raises(ValueError, match="another index 'node'"):
            informers.of(PODS, indexes={"node": lambda pod: []})
        late = informers.of(PODS, "n", labels="a=b", fields="c=d")
        assert late is not first
        await clock.advance(0)
        assert late.synced
    last = api.asked[-1]
    assert (last.path, last.query["labelSelector"], last.query["fieldSelector"]) == (
        "/api/v1/namespaces/n/pods",
        "a=b",
        "c=d",
    )


async def test_synced_waits_for_all(api: MemoryAPI, client: Client, clock: VirtualClock) -> None:
    informers = Informers(client, clock)
    informers.of(PODS)
    informers.of(NODES)

    def is_nodes(asked: Asked) -> bool:
        return asked.path == "/api/v1/nodes"

    api.refuse(APIError.of(403, "Forbidden", "no"), is_nodes)
    async with informers.running():
        waiting = asyncio.create_task(informers.synced())
        await clock.advance(0)
        assert not waiting.done()
        await clock.advance(2)
        await waiting


async def test_others_have_their_turn_while_much_is_told(api: MemoryAPI, client: Client) -> None:
    class Ticking(VirtualClock):
        """Each look takes a tenth of a millisecond."""

        looks = 0

        def monotonic(self) -> float:
            self.looks += 1
            return super().monotonic() + self.looks / 10_000

    clock = Ticking()
    for number in range(200):
        api.put("/api/v1/pods", pod(f"p{number:03}"))
    pods = Informer(client, clock, PODS)
    longest, present = 0, 0

    def count(old: Tree | None, new: Tree | None) -> None:
        nonlocal present
        present += 1

    pods.on_change(count)
    async with pods.running():
        while not pods.synced:
            before = present
            await asyncio.sleep(0)
            longest = max(longest, present - before)
    assert present == 200
    assert longest == pytest.approx(20, abs=5)


async def test_who_changes_what_is_shown_is_found_out(
    api: MemoryAPI, client: Client, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBE_CACHE_MUTATION_DETECTOR", "true")
    pods = Informer(client, clock, PODS)
    for name in ("a", "b"):
        api.put("/api/v1/pods", pod(name))

    async def follow() -> None:
        async with pods.running():
            await pods.wait_synced()
            api.put("/api/v1/pods", pod("b"))
            await clock.advance(0)
            (pods.get("n/a") or {})["spec"]["nodeName"] = "mine"
            api.remove("/api/v1/namespaces/n/pods/a")
            await asyncio.get_running_loop().create_future()

    with pytest.raises(CacheChanged, match="pods n/a was changed in the cache"):
        await follow()


def test_keys_come_apart_as_they_were_made() -> None:
    assert [split_key(key_of(obj)) for obj in (pod("a", "n"), {"metadata": {"name": "a"}})] == [("n", "a"), ("", "a")]


def test_an_index_follows_its_objects() -> None:
    cache = Cache({"label": lambda obj: obj["labels"]})
    first: Tree = {"metadata": {"name": "a"}, "labels": ["x", "y"]}
    second: Tree = {"metadata": {"name": "a"}, "labels": ["y", "z", "z"]}
    assert cache.put("a", first) is None
    assert cache.put("a", second) is first
    assert (cache.by("label", "x"), cache.by("label", "y"), cache.by("label", "z")) == ([], [second], [second])
    assert cache.values("label") == ["y", "z"]
    assert cache.remove("a") is second
    assert cache.remove("a") is None
    assert cache.values("label") == []
    with pytest.raises(KeyError):
        cache.by("other", "x")
