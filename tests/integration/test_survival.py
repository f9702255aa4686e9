"""What was acknowledged is there after a kill -9; what was not is there whole, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from _etcds import running_etcd
from anyio.from_thread import start_blocking_portal

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
ROUNDS = 6
WRITERS = 8
MOST_WRITES = 4000


def config_map(name: str) -> dict[str, Any]:
    """One whose parts vouch for each other."""
    text = name * 50
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "data": {"text": text, "digest": digest},
    }


class Load:
    """Writers that create objects one after the other until the server is gone."""

    def __init__(self, server: Any, first: int, kill_after: int) -> None:
        self.acknowledged: list[str] = []
        self.reached = threading.Event()
        self._server = server
        self._numbers = iter(range(first, first + MOST_WRITES))
        self._kill_after = kill_after
        self._lock = threading.Lock()

    def run(self) -> None:
        writers = [threading.Thread(target=self._write) for _ in range(WRITERS)]
        for writer in writers:
            writer.start()
        assert self.reached.wait(60), "the load came to nothing"
        self._server.kill()
        for writer in writers:
            writer.join(60)

    def _write(self) -> None:
        with self._server.connect() as connection, suppress(OSError, http.client.HTTPException, ValueError):
            # What is suppressed is a kill in the middle of an answer.
            while (number := self._next()) is not None:
                name = f"cm-{number:06}"
                status, _ = connection.call("POST", CONFIG_MAPS, config_map(name))
                assert status == 201
                with self._lock:
                    self.acknowledged.append(name)
                    if len(self.acknowledged) >= self._kill_after:
                        self.reached.set()

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)


@pytest.fixture(params=["embedded", "etcd"])
def store_flags(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The flags of a server that keeps objects in its own file, or in an etcd."""
    if request.param == "embedded":
        yield ()
        return
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_etcd(tmp_path / "etcd")) as etcd,
    ):
        yield (f"--etcd-servers={etcd.url}",)


def test_every_acknowledged_write_survives_a_kill_at_any_moment(
    start_server: Any, store_flags: tuple[str, ...]
) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    server = start_server(*store_flags)
    acknowledged: set[str] = set()
    for round_ in range(ROUNDS):
        load = Load(server, round_ * MOST_WRITES, chance.randrange(20, 400))
        load.run()
        acknowledged |= set(load.acknowledged)
        server.start()
        with server.connect() as connection:
            _, found = connection.call("GET", CONFIG_MAPS)
        there = {item["metadata"]["name"]: item for item in found["items"]}
        assert acknowledged <= there.keys(), f"acknowledged and lost, with seed {seed}"
        for name, item in there.items():
            assert item["data"] == config_map(name)["data"], f"torn, with seed {seed}"


def test_revisions_and_identities_go_on_after_a_kill(start_server: Any) -> None:
    server = start_server()
    with server.connect() as connection:
        _, made = connection.call("POST", CONFIG_MAPS, config_map("a"))
    server.kill()
    server.start()
    with server.connect() as connection:
        _, found = connection.call("GET", f"{CONFIG_MAPS}/a")
        _, later = connection.call("POST", CONFIG_MAPS, config_map("b"))
    assert found == made
    assert int(later["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_a_watch_goes_on_after_a_kill_where_it_was(start_server: Any) -> None:
    server = start_server()
    with server.connect() as connection:
        _, made = connection.call("POST", CONFIG_MAPS, config_map("a"))
        connection.call("POST", CONFIG_MAPS, config_map("b"))
        connection.call("DELETE", f"{CONFIG_MAPS}/a")
    server.kill()
    server.start()
    since = made["metadata"]["resourceVersion"]
    with (
        server.connect() as connection,
        connection.send("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion={since}") as stream,
    ):
        added, deleted = json.loads(stream.readline()), json.loads(stream.readline())
    assert (added["type"], added["object"]["metadata"]["name"]) == ("ADDED", "b")
    assert (deleted["type"], deleted["object"]["metadata"]["name"]) == ("DELETED", "a")


def test_a_second_server_over_the_same_data_is_refused_and_changes_nothing(start_server: Any) -> None:
    server = start_server()
    other = type(server)(server.data_dir)
    with pytest.raises(AssertionError, match="ended before it served"):
        other.start()
    assert other.process.wait(60) == 2
    told = "".join(other.log)
    assert "Traceback" not in told
    holder = f"is in use by the process {server.process.pid}"
    assert f"flag --data-dir: the data directory {server.data_dir} {holder}" in told
    with server.connect() as connection:
        assert connection.call("GET", CONFIG_MAPS)[0] == 200


def test_what_is_secret_is_readable_by_its_owner_alone(start_server: Any) -> None:
    server = start_server()
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
    for file in (server.kubeconfig, server.data_dir / "pki" / "ca.key", server.data_dir / "pki" / "apiserver.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    key = (server.data_dir / "pki" / "ca.key").read_text().splitlines()[1]
    assert key not in "".join(server.log)


def test_a_stopped_server_ends_its_watches_in_order(start_server: Any) -> None:
    server = start_server()
    with server.connect() as connection, connection.send("GET", f"{CONFIG_MAPS}?watch=1") as watch:
        assert server.end(signal.SIGTERM) == 0
        assert watch.read() == b"", "a stream that is cut short would raise"
