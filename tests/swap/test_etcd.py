"""Kubernetes' own API server on hk's etcd, and beside hk's on one etcd: each reads what the other has written."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from _etcds import Etcd, free_ports, running_etcd
from _peers import program

from hyperkube_apiserver.issuance import open_keys

pytestmark = pytest.mark.anyio

HK = shutil.which("hk") or str(Path(sys.executable).with_name("hk"))
START_SECONDS = 60.0
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                    }
                },
            }
        ],
    },
}


class API:
    """An API server, asked as an administrator."""

    def __init__(self, port: int) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE  # of a certificate that it has made for itself

    async def ask(self, path: str, body: Any = None, method: str = "") -> Any:
        """The answer; asked again, as clients do, where the server says that it will do in a moment."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return await asyncio.to_thread(self._ask, path, body, method)
            except HTTPError as exc:
                if exc.code != 429 or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.2)

    def _ask(self, path: str, body: Any, method: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": "Bearer token", "Content-Type": "application/json"}
        request = Request(self.url + path, data, headers, method=method or ("GET" if data is None else "POST"))
        with urlopen(request, timeout=30, context=self._tls) as answer:
            text = answer.read()
        return json.loads(text) if text.startswith(b"{") else text.decode()


def started(line: list[str], folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(mode=0o700)
    (folder / "tokens").write_text('token,admin,1,"system:masters"\n')
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(line, stdout=log, stderr=log)


@asynccontextmanager
async def api_server(command: list[str | Path], folder: Path, etcd: Etcd, port: int) -> AsyncIterator[API]:
    line = [
        *map(str, command),
        f"--etcd-servers={etcd.url}",
        f"--cert-dir={folder}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--token-auth-file={folder / 'tokens'}",
        f"--service-account-key-file={etcd.folder / 'sa.pub'}",
        f"--service-account-signing-key-file={etcd.folder / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.177.0.0/16",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
    ]
    process = started(line, folder)
    try:
        api, deadline = API(port), time.monotonic() + START_SECONDS
        while True:
            try:
                await api.ask("/readyz")
                break
            except (URLError, OSError):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command[0]} did not start:\n" + (folder / "log").read_text(errors="replace")[-3000:])
                await asyncio.sleep(0.1)
        yield api
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 60)


@pytest.mark.parametrize("kind", ["hk", "etcd"])
async def test_both_api_servers_live_on_one_etcd(kind: str, tmp_path: Path) -> None:
    upstream = program("apiserver")
    command = [HK, "etcd"] if kind == "hk" else []
    async with running_etcd(tmp_path / "etcd", "--unsafe-no-fsync", command=command) as etcd:
        open_keys(etcd.folder, None, ())
        theirs_at = api_server([upstream], tmp_path / "theirs", etcd, free_ports(1)[0])
        async with theirs_at as theirs:
            await theirs.ask("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)
            await theirs.ask("/api/v1/namespaces/default/secrets", _secret("theirs"))
            ours_at = api_server([HK, "apiserver"], tmp_path / "ours", etcd, free_ports(1)[0])
            async with ours_at as ours:
                found = await ours.ask("/api/v1/namespaces/default/secrets/theirs")
                assert found["data"] == _secret("theirs")["data"]
                widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
                await ours.ask("/apis/example.com/v1/namespaces/default/widgets", {**widget, "spec": {"size": 3}})
                await ours.ask("/api/v1/namespaces/default/secrets", _secret("ours"))
                for api in (theirs, ours):
                    listed = await api.ask("/apis/example.com/v1/namespaces/default/widgets")
                    assert [item["spec"]["size"] for item in listed["items"]] == [3]
                    names = [item["metadata"]["name"] for item in (await api.ask("/api/v1/secrets"))["items"]]
                    assert names == ["ours", "theirs"]
                changed = await theirs.ask("/api/v1/namespaces/default/secrets/ours")
                changed["data"] = {"b": "Yg=="}
                await theirs.ask("/api/v1/namespaces/default/secrets/ours", changed, "PUT")
                assert (await ours.ask("/api/v1/namespaces/default/secrets/ours"))["data"] == {"b": "Yg=="}
                await ours.ask("/api/v1/namespaces/default/secrets/theirs", None, "DELETE")
                left = [item["metadata"]["name"] for item in (await theirs.ask("/api/v1/secrets"))["items"]]
                assert left == ["ours"]


def _secret(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"a": "YQ=="}}
