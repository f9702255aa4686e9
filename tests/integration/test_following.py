"""Who lists and then watches a real server knows what exists, though history is forgotten all the time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from typing import Any

import pytest

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
LAST = "zz-last"
NAMES = 8
WRITES = 150
MOST_ROUNDS = 200
BIG = "x" * 400_000


class Follower:
    """Lists page by page, watches from there for a second at a time, and begins anew when that is too old."""

    def __init__(self, server: Any, seed: str) -> None:
        self.objects: dict[str, Any] = {}
        self.revision = 0
        self.lists = self.watches = 0
        self._server = server
        self._random = random.Random(seed)

    def follow(self) -> Follower:
        """Up to the last object."""
        listed = False
        for _ in range(MOST_ROUNDS):
            if LAST in self.objects:
                return self
            with self._server.connect() as connection:
                listed = self._watch(connection) if listed else self._list(connection)
        raise AssertionError(f"the last object never came; {self.lists} lists, {self.watches} watches")

    def _list(self, connection: Any) -> bool:
        """Whether that came to an end; what was known is replaced, and may not have been newer."""
        self.lists += 1
        limit, objects, token = self._random.choice((0, 1, 3)), {}, ""
        while True:
            status, page = connection.call("GET", f"{CONFIG_MAPS}?limit={limit}&continue={token}")
            if status == 410:
                assert page["reason"] == "Expired"
                return False
            assert status == 200, page
            objects.update({item["metadata"]["name"]: item for item in page["items"]})
            token = page["metadata"].get("continue", "")
            if not token:
                break
        revision = int(page["metadata"]["resourceVersion"])
        assert revision >= self.revision
        self.objects, self.revision = objects, revision
        return True

    def _watch(self, connection: Any) -> bool:
        """Whether the next watch may begin where this one ended."""
        self.watches += 1
        query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={self.revision}"
        for event in events(connection.send("GET", f"{CONFIG_MAPS}?{query}")):
            if event["type"] == "ERROR":
                assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
                return False
            self._take(event)
            if LAST in self.objects:
                break
        return True

    def _take(self, event: dict[str, Any]) -> None:
        metadata = event["object"]["metadata"]
        revision = int(metadata["resourceVersion"])
        if event["type"] == "BOOKMARK":
            assert revision >= self.revision
            self.revision = revision
            return
        assert revision > self.revision, "an event came late, or twice"
        self.revision = revision
        assert (metadata["name"] in self.objects) == (event["type"] != "ADDED"), event["type"]
        if event["type"] == "DELETED":
            del self.objects[metadata["name"]]
        else:
            self.objects[metadata["name"]] = event["object"]


def events(response: Any) -> Iterator[dict[str, Any]]:
    """What comes until the server ends the watch, or drops the client; a line that it broke off is none."""
    assert response.status == 200, response.read()
    with suppress(OSError, HTTPException):
        while line := response.readline():
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)


def write(server: Any, seed: str) -> None:
    """Make, change and remove objects of few names."""
    random_ = random.Random(seed)
    with server.connect() as connection:
        for number in range(WRITES):
            name, chosen = f"n{random_.randrange(NAMES)}", random_.random()
            if chosen < 0.4:
                connection.call("POST", CONFIG_MAPS, {"metadata": {"name": name}, "data": {"n": str(number)}})
            elif chosen < 0.75:
                patch, form = {"data": {"n": str(number)}}, "application/merge-patch+json"
                connection.call("PATCH", f"{CONFIG_MAPS}/{name}", patch, content_type=form)
            else:
                connection.call("DELETE", f"{CONFIG_MAPS}/{name}")


def existing(server: Any) -> dict[str, tuple[str, Any]]:
    with server.connect() as connection:
        return known({item["metadata"]["name"]: item for item in connection.call("GET", CONFIG_MAPS)[1]["items"]})


def known(objects: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    return {name: (one["metadata"]["resourceVersion"], one.get("data")) for name, one in objects.items()}


@pytest.mark.parametrize("seed", range(2))
def test_followers_agree_with_the_server_whatever_it_forgets(start_server: Any, seed: int) -> None:
    server = start_server("--etcd-compaction-interval=30ms")
    with ThreadPoolExecutor(8) as threads:
        followers = [threads.submit(Follower(server, f"{seed} {index}").follow) for index in range(4)]
        for done in [threads.submit(write, server, f"{seed} {index}") for index in range(3)]:
            done.result(120)
        with server.connect() as connection:
            assert connection.call("POST", CONFIG_MAPS, {"metadata": {"name": LAST}})[0] == 201
        for follower in followers:
            assert known(follower.result(120).objects) == existing(server)


def test_a_client_that_does_not_read_is_dropped_and_finds_its_place_gone(start_server: Any) -> None:
    server = start_server("--etcd-compaction-interval=30ms")
    slow = Follower(server, "slow")
    with server.connect() as reading, server.connect() as writing:
        assert slow._list(writing)
        response = reading.send("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion={slow.revision}")
        for number in range(80):  # more than what is buffered for a client, and kept for watches that begin in the past
            body = {"metadata": {"name": f"n{number}"}, "data": {"big": BIG}}
            assert writing.call("POST", CONFIG_MAPS, body)[0] == 201
        for event in events(response):
            slow._take(event)
        assert 0 < len(slow.objects) < 80, "the server had it all, for a client that did not read"
        for _ in range(2000):
            patch = {"data": {"n": str(_)}}
            writing.call("PATCH", f"{CONFIG_MAPS}/n0", patch, content_type="application/merge-patch+json")
            past = f"{CONFIG_MAPS}?resourceVersionMatch=Exact&limit=1&resourceVersion={slow.revision}"
            if writing.call("GET", past)[0] == 410:
                break
    with server.connect() as connection:
        assert not slow._watch(connection), "its place in history is gone"
    with server.connect() as connection:
        assert slow._list(connection)
    assert known(slow.objects) == existing(server)
