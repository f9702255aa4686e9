"""What those who run a server do to it, as processes: scrape, back up, stop, fill its disk."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _disks import small_disk

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, size: int = 10) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"text": "x" * size}}


def hk(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hyperkube_core", "apiserver", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def read(connection: Any, path: str, **headers: str) -> tuple[int, str, Any]:
    response = connection.send("GET", path, **headers)
    return response.status, response.read().decode(), response.headers


def test_a_backup_of_a_running_server_is_put_back(start_server: Any, tmp_path: Path) -> None:
    server = start_server()
    with server.connect() as connection:
        for number in range(20):
            connection.call("POST", CONFIG_MAPS, config_map(f"before-{number:02}"))
        done = hk("backup", str(tmp_path / "copy"), f"--data-dir={server.data_dir}")
        assert done.returncode == 0, done.stderr
        connection.call("DELETE", f"{CONFIG_MAPS}/before-00")
        _, made = connection.call("POST", CONFIG_MAPS, config_map("after"))
        seen = made["metadata"]["resourceVersion"]
    refused = hk("restore", str(tmp_path / "copy"), f"--data-dir={server.data_dir}", "--replace")
    assert refused.returncode != 0
    assert "in use by the process" in refused.stderr
    assert server.end(signal.SIGTERM) == 0
    done = hk(f"--data-dir={server.data_dir}", "restore", str(tmp_path / "copy"), "--replace")
    assert done.returncode == 0, done.stderr
    server.start()
    with server.connect() as connection:
        _, found = connection.call("GET", CONFIG_MAPS)
        names = [item["metadata"]["name"] for item in found["items"] if item["metadata"]["name"].startswith(("b", "a"))]
        assert names == [f"before-{number:02}" for number in range(20)]
        assert int(found["metadata"]["resourceVersion"]) > int(seen) + 999_999_999
        _, answer, _ = read(connection, f"{CONFIG_MAPS}?watch=1&resourceVersion={seen}")
        assert '"reason":"Expired"' in answer


def test_metrics_are_for_those_who_may_read_them(start_server: Any) -> None:
    server = start_server()
    with server.connect() as connection:
        connection.call("POST", CONFIG_MAPS, config_map("a"))
        status, text, headers = read(connection, "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert float(samples['apiserver_storage_size_bytes{storage_cluster_id="etcd-0"}']) > 0
        assert float(samples["hk_event_loop_lag_seconds_count"]) >= 0
        assert float(samples["apiserver_tls_handshake_errors_total"]) >= 0
        assert len(samples) == len([line for line in text.splitlines() if not line.startswith("#")])
        status, text, _ = read(connection, "/metrics", accept="application/openmetrics-text")
        assert text.endswith("# EOF\n")
        status, text, _ = read(connection, "/metrics/slis")
        assert status == 200
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"https://127.0.0.1:{server.port}/metrics", context=context)


def test_a_server_that_stops_is_not_ready_but_serves_until_its_delay_is_over(start_server: Any) -> None:
    server = start_server("--shutdown-delay-duration=2s", "--shutdown-watch-termination-grace-period=1s")
    with server.connect() as watching, server.connect() as connection:
        stream = watching.send("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion=0")
        ending = threading.Thread(target=server.end, args=(signal.SIGTERM,))
        ending.start()
        while read(connection, "/readyz")[0] == 200:  # until the signal has come
            pass
        status, text, _ = read(connection, "/readyz")
        assert (status, "[-]shutdown failed: reason withheld" in text) == (500, True)
        assert read(connection, "/livez")[0] == 200
        assert connection.call("POST", CONFIG_MAPS, config_map("late"))[0] == 201
        assert b'"name":"late"' in stream.read()  # which ends as a whole answer does
        ending.join(60)
    assert server.process.returncode == 0


def test_a_second_signal_insists(start_server: Any) -> None:
    server = start_server("--shutdown-delay-duration=100s")
    with server.connect() as connection:
        server.process.send_signal(signal.SIGTERM)
        while read(connection, "/readyz")[0] == 200:
            pass
        assert server.end(signal.SIGTERM) == 128 + signal.SIGTERM


def test_a_full_disk_is_told_to_clients_and_probes(start_server: Any, disk: Path) -> None:
    server = start_server(data_dir=disk / "data")
    with server.connect() as connection:
        names: list[str] = []
        while True:
            name = f"big-{len(names):04}"
            status, answer = connection.call("POST", CONFIG_MAPS, config_map(name, 100_000))
            if status != 201:
                break
            names.append(name)
        assert (status, answer["message"]) == (500, "etcdserver: mvcc: database space exceeded")
        status, text, _ = read(connection, "/readyz")
        assert (status, "[-]storage-writable failed: reason withheld" in text) == (500, True)
        assert read(connection, "/livez")[0] == 200  # whoever restarts what isn't alive would end a server that reads
        assert connection.call("GET", f"{CONFIG_MAPS}/{names[0]}")[0] == 200
        assert connection.call("DELETE", f"{CONFIG_MAPS}/{names[0]}")[0] == 200
        (disk / "ballast").unlink()
        assert read(connection, "/readyz")[0] == 200
        assert connection.call("POST", CONFIG_MAPS, config_map("after"))[0] == 201


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of the test's own, half taken."""
    path = tmp_path / "disk"
    with small_disk(path, megabytes=40):
        (path / "ballast").write_bytes(bytes(20 << 20))
        yield path
