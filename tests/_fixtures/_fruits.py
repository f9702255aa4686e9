"""An API server of a third party, in nothing but Python: `fruits.example.com/v1` with the resource `fruits`.

It believes what the headers of a request say of its user if, and only if, the certificate that it came with is of the
authority that it was told of, as an extension API server must.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import trustme

__all__ = ["GROUP", "Fruits"]

GROUP = "fruits.example.com"
ROOT = f"/apis/{GROUP}/v1"
_VERBS = ["create", "delete", "get", "list", "watch"]
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

Tree = dict[str, Any]


class Fruits:
    """The server: what it holds, what it was asked, and how it is reached."""

    def __init__(self, client_ca: Path, *, aggregated: bool = True) -> None:
        """`client_ca` issues the certificate of whom is believed; `aggregated` tells of all resources at once."""
        self.aggregated = aggregated
        self.objects: dict[tuple[str, str], Tree] = {}
        self.kinds = ["Fruit"]
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []  # method, path, headers
        self.changed = threading.Condition()
        self.events: list[Tree] = []
        self.well = True
        authority = trustme.CA()
        self.ca_pem = authority.cert_pem.bytes()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("fruits.orchard.svc").configure_cert(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(client_ca)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fruits": self}))
        self._http.daemon_threads = True
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._http.server_address[1])

    @contextmanager
    def running(self) -> Iterator[Fruits]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            with self.changed:
                self.well = False
                self.changed.notify_all()
            thread.join()
            self._http.server_close()

    def put(self, namespace: str, obj: Tree) -> Tree:
        with self.changed:
            obj["metadata"] |= {"namespace": namespace, "resourceVersion": str(len(self.events) + 1)}
            obj["metadata"].setdefault("uid", f"fruit-{len(self.events)}")
            self.objects[namespace, obj["metadata"]["name"]] = obj
            self.events.append({"type": "ADDED", "object": obj})
            self.changed.notify_all()
        return obj


class _Handler(BaseHTTPRequestHandler):
    fruits: ClassVar[Fruits]
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.request.settimeout(30)
        self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        path, _, query = self._begin().partition("?")
        told = self._documents(path)
        if told is not None:
            self._answer(200, *told)
        elif path.startswith(ROOT) and not self._user():
            self._answer(401, {"kind": "Status", "status": "Failure", "code": 401, "reason": "Unauthorized"})
        elif path == f"{ROOT}/whoami":
            self._answer(200, {"kind": "Fruit", "user": self._user(), "groups": self.headers.get_all("x-remote-group")})
        elif path == f"{ROOT}/elsewhere":
            self._answer(302, {}, location="https://example.com/")
        elif path.startswith(f"{ROOT}/namespaces/"):
            self._read(path.removeprefix(f"{ROOT}/namespaces/").split("/"), query)
        else:
            self._answer(404, {"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"})

    def do_POST(self) -> None:
        path = self._begin().partition("?")[0]
        obj = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._answer(201, self.fruits.put(path.split("/")[5], obj))

    def do_DELETE(self) -> None:
        *_, namespace, _, name = self._begin().partition("?")[0].split("/")
        gone = self.fruits.objects.pop((namespace, name), None)
        self._answer(200 if gone else 404, {"kind": "Status", "status": "Success" if gone else "Failure"})

    def _begin(self) -> str:
        headers = {name.lower(): self.headers.get_all(name) or [] for name in self.headers}
        self.fruits.asked.append((self.command, self.path, headers))
        return self.path

    def _user(self) -> str:
        """Who asks, if whoever passed it on may say so."""
        shown = self.connection.getpeercert()
        return self.headers.get("x-remote-user", "") if shown else ""

    def _documents(self, path: str) -> tuple[Any, str] | None:
        told: Any = None
        content_type = "application/json"
        resource = {"kind": "Fruit", "name": "fruits", "namespaced": True, "singularName": "fruit", "verbs": _VERBS}
        version = {"groupVersion": f"{GROUP}/v1", "version": "v1"}
        group = {"name": GROUP, "versions": [version], "preferredVersion": version}
        if not self.fruits.well:
            return None
        if path == "/apis" and self.fruits.aggregated and "APIGroupDiscoveryList" in self.headers.get("accept", ""):
            listed = {
                "resource": "fruits",
                "responseKind": {"group": GROUP, "version": "v1", "kind": "Fruit"},
                "scope": "Namespaced",
                "shortNames": ["fr"],
                "singularResource": "fruit",
                "verbs": _VERBS,
            }
            versions = [{"version": "v1", "resources": [listed], "freshness": "Current"}]
            items = [{"metadata": {"name": GROUP}, "versions": versions}]
            told = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items}
            content_type = _AGGREGATED
        elif path == "/apis":
            told = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
        elif path == f"/apis/{GROUP}":
            told = {"kind": "APIGroup", "apiVersion": "v1", **group}
        elif path == ROOT:
            resource["shortNames"] = ["fr"]
            told = {"kind": "APIResourceList", "groupVersion": f"{GROUP}/v1", "resources": [resource]}
        elif path == "/openapi/v3":
            told = {"paths": {f"apis/{GROUP}/v1": {"serverRelativeURL": f"/openapi/v3/apis/{GROUP}/v1?hash=RIPE"}}}
        elif path == f"/openapi/v3/apis/{GROUP}/v1":
            told = _openapi_3()
        elif path == "/openapi/v2":
            told = _openapi_2()
        return None if told is None else (told, content_type)

    def _read(self, parts: list[str], query: str) -> None:
        namespace, _, *rest = parts
        if rest:
            found = self.fruits.objects.get((namespace, rest[0]))
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            missing["message"] = f'fruits.{GROUP} "{rest[0]}" not found'
            self._answer(200 if found else 404, found or missing)
        elif "watch=" in query:
            self._watch()
        else:
            items = [one for (place, _), one in self.fruits.objects.items() if place == namespace]
            metadata = {"resourceVersion": str(len(self.fruits.events))}
            self._answer(200, {"kind": "FruitList", "apiVersion": f"{GROUP}/v1", "metadata": metadata, "items": items})

    def _watch(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        told = 0
        while self.fruits.well:
            with self.fruits.changed:
                while self.fruits.well and len(self.fruits.events) == told:
                    self.fruits.changed.wait(30)
                fresh, told = self.fruits.events[told:], len(self.fruits.events)
            for event in fresh:
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()

    def _answer(self, status: int, body: Any, content_type: str = "application/json", **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the tests look at what was asked."""


_FRUIT = {
    "type": "object",
    "description": "Fruit grows on trees.",
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "colour": {"type": "string", "description": "Colour tells whether it is ripe."},
    },
    "x-kubernetes-group-version-kind": [{"group": GROUP, "version": "v1", "kind": "Fruit"}],
}


def _openapi_3() -> Tree:
    operation = {
        "responses": {"200": {"description": "OK"}},
        "operationId": "listFruits",
        "x-kubernetes-action": "list",
        "x-kubernetes-group-version-kind": {"group": GROUP, "version": "v1", "kind": "Fruit"},
    }
    return {
        "openapi": "3.0.0",
        "info": {"title": "fruits", "version": "v1"},
        "paths": {f"{ROOT}/namespaces/{{namespace}}/fruits": {"get": operation}},
        "components": {"schemas": {"com.example.fruits.v1.Fruit": _FRUIT}},
    }


def _openapi_2() -> Tree:
    reference = {"$ref": "#/definitions/com.example.fruits.v1.Fruit"}
    operation = {
        "responses": {"200": {"description": "OK", "schema": reference}},
        "operationId": "listFruits",
        "x-kubernetes-group-version-kind": {"group": GROUP, "version": "v1", "kind": "Fruit"},
    }
    return {
        "swagger": "2.0",
        "info": {"title": "fruits", "version": "v1"},
        "paths": {f"{ROOT}/namespaces/{{namespace}}/fruits": {"get": operation}, "/other": {"get": operation}},
        "definitions": {"com.example.fruits.v1.Fruit": _FRUIT},
    }
