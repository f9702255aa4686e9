"""A real registry of images, as Debian has it, on loopback; and what puts images of the tests into it."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import _tools

USER, PASSWORD = "puller", "s3cret"
_HTPASSWD = f"{USER}:$2y$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG\n"  # of PASSWORD
_LISTENING = re.compile(rb"listening on (127\.0\.0\.1:\d+)")
_PATIENCE_SECONDS = 20.0
_AUTHORIZATION = {"Authorization": "Basic cHVsbGVyOnMzY3JldA=="}


@dataclass(slots=True)
class Registry:
    """A registry at work, or one that was stopped."""

    address: str  # 127.0.0.1:PORT
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    def push(self, archive: Path, name: str, *, index: bool = False) -> str:
        """Put the one image of an OCI archive there as `name` (app:1), behind an index if told so; its digest."""
        path, _, tag = name.partition(":")
        with tarfile.open(archive) as tar:
            blobs = {
                member.name: tar.extractfile(member).read()  # type: ignore[union-attr]
                for member in tar.getmembers()
                if member.isfile()
            }
        entry = json.loads(blobs["index.json"])["manifests"][0]
        body = blobs[f"blobs/{entry['digest'].replace(':', '/')}"]
        document = json.loads(body)
        for blob in (document["config"], *document["layers"]):
            self._upload(path, blob["digest"], blobs[f"blobs/{blob['digest'].replace(':', '/')}"])
        if not index:
            return self._put_manifest(path, tag, body, document["mediaType"])
        digest = self._put_manifest(path, entry["digest"], body, document["mediaType"])
        image = {**entry, "digest": digest, "annotations": {}}
        config = json.loads(blobs[f"blobs/{document['config']['digest'].replace(':', '/')}"])
        image["platform"] = {"os": config["os"], "architecture": config["architecture"]}
        kind = "application/vnd.oci.image.index.v1+json"
        whole = {"schemaVersion": 2, "mediaType": kind, "manifests": [image]}
        return self._put_manifest(path, tag, json.dumps(whole).encode(), kind)

    def requests(self) -> list[str]:
        """What it was asked for, as `GET /v2/…`, in order."""
        found = re.findall(r'"(GET|HEAD|PUT|POST) (/v2/[^ ]*) HTTP', self.log.read_text("utf-8", "replace"))
        return [f"{method} {target}" for method, target in found]

    def _upload(self, path: str, digest: str, data: bytes) -> None:
        _, headers = self._ask("POST", f"/v2/{path}/blobs/uploads/", b"", {}, 202)
        place = urlsplit(headers["location"])
        target = f"{place.path}?{place.query}&digest={digest}"
        self._ask("PUT", target, data, {"Content-Type": "application/octet-stream"}, 201)

    def _put_manifest(self, path: str, tag: str, body: bytes, kind: str) -> str:
        _, headers = self._ask("PUT", f"/v2/{path}/manifests/{tag}", body, {"Content-Type": kind}, 201)
        return str(headers["docker-content-digest"])

    def _ask(
        self, method: str, target: str, body: bytes, headers: dict[str, str], wanted: int
    ) -> tuple[bytes, dict[str, Any]]:
        connection = http.client.HTTPConnection(self.address, timeout=_PATIENCE_SECONDS)
        try:
            connection.request(method, target, body, {**headers, **self.headers})
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status == wanted, (method, target, answer.status, data)
            return data, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()


@contextmanager
def registry_running(folder: Path, *, closed: bool = False) -> Iterator[Registry]:
    """A registry for the length of the block; a `closed` one wants `USER` and `PASSWORD`."""
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0"},
    }
    if closed:
        (folder / "htpasswd").write_text(_HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_text(json.dumps(config))
    log = folder / "registry.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [_tools.docker_registry(), "serve", folder / "config.yml"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Registry(_address(server, log), log, dict(_AUTHORIZATION) if closed else {})
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(_PATIENCE_SECONDS)
        server.kill()
        server.wait()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end and server.poll() is None:
        if found := _LISTENING.search(log.read_bytes()):
            return found[1].decode()
        time.sleep(0.02)  # nothing tells of it
    raise AssertionError(f"the registry did not start: {log.read_text('utf-8', 'replace')}")
