"""What is passed on to kubelets and pods."""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from hyperkube_apiserver.handlers.connect import targets as places
from hyperkube_apiserver.handlers.connect.links import rewritten_page
from hyperkube_apiserver.handlers.connect.targets import is_global, is_reachable_here
from hyperkube_machinery.exchange import ExchangeError, Peer
from hyperkube_machinery.podnetwork import Description, NetworkUnavailable, PodNetwork
from hyperkube_machinery.serving.messages import StreamingResponse, Upgrade
from hyperkube_machinery.tls import create_ca, issue_serving_certificate, save, server_context

pytestmark = pytest.mark.anyio

PODS = "/api/v1/namespaces/default/pods"
PORTS = [{"port": 80, "name": "http"}]
NOW = 1_800_000_000.0
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"


class Far:
    """A server in a pod or on a node, that notes what it is asked and answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append((first, headers, body))
        writer.write(self.answer)
        if b" 101 " in self.answer:
            while data := await reader.read(1024):
                writer.write(data.upper())
        writer.close()


@asynccontextmanager
async def serving(far: Far, context: Any = None) -> AsyncIterator[None]:
    tasks: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(far.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    far.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def kubelet(tmp_path: Path) -> AsyncIterator[Far]:
    ca = create_ca("test", now=NOW)
    pair = issue_serving_certificate(ca, "kubelet", ["127.0.0.1"], now=NOW)
    files = tmp_path / "k.crt", tmp_path / "k.key"
    save(pair, *files)
    far = Far()
    async with serving(far, server_context(*files)):
        yield far


@pytest.fixture
async def web() -> AsyncIterator[Far]:
    far = Far()
    async with serving(far):
        yield far


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets pods be on loopback addresses, which is all that tests have."""
    monkeypatch.setattr(places, "is_global", lambda address: True)


async def make_node(api: Any, port: int, name: str = "n", address: str = "127.0.0.1") -> None:
    await api.create("/api/v1/nodes", {"metadata": {"name": name}})
    status = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await patch(api, f"/api/v1/nodes/{name}/status", {"status": status})


async def patch(api: Any, path: str, change: Any) -> None:
    reply = await api.call("PATCH", path, change, content_type="application/merge-patch+json")
    assert reply.status == 200, reply.body


async def make_pod(api: Any, name: str = "p", *, containers: int = 1, node: str = "n", ports: Any = None) -> None:
    listed = [{"name": f"c{number}", "image": "i"} for number in range(containers)]
    if ports is not None:
        listed[0]["ports"] = ports
    await api.create(PODS, {"metadata": {"name": name}, "spec": {"containers": listed, "nodeName": node}})


async def streamed(answer: Any) -> bytes:
    """The whole of an answer that comes piece by piece."""
    assert isinstance(answer, StreamingResponse), answer

    class Sink:
        closed = False
        buffered = 0

        def __init__(self) -> None:
            self.parts: list[bytes] = []

        def send(self, data: bytes) -> None:
            self.parts.append(data)

        def send_framed(self, frame: bytes) -> None:
            raise AssertionError

        async def drain(self) -> None: ...

        async def wait_closed(self) -> None: ...

    sink = Sink()
    await answer.produce(sink)
    return b"".join(sink.parts)


async def test_a_log_comes_from_the_kubelet(api: Any, kubelet: Far) -> None:
    await make_node(api, kubelet.port)
    await make_pod(api)
    query = {"follow": "true", "tailLines": "5", "sinceTime": "2026-01-01T00:00:00Z", "timestamps": "1"}
    answer = await api.answer("GET", f"{PODS}/p/log?{urlencode(query)}")
    assert (answer.status, answer.content_type, await streamed(answer)) == (200, "text/plain", b"hi")
    ((first, headers, _),) = kubelet.asked
    path = "/containerLogs/default/p/c0"
    asked = "follow=true&sinceTime=2026-01-01T00%3A00%3A00Z&tailLines=5&timestamps=true"
    assert first == f"GET {path}?{asked} HTTP/1.1"
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("status", "said", "code", "reason", "message"),
    [
        (400, "container not ready", 400, "BadRequest", "container not ready"),
        (500, "broken", 500, "InternalError", "Internal error occurred: broken"),
        (404, "x", 404, "NotFound", "the server could not find the requested resource ( pods/log p)"),
        (403, "Forbidden (user=x)", 403, "Forbidden", "Forbidden (user=x) ( pods/log p)"),
        (
            *(502, "bad", 502, "InternalError"),
            'an error on the server ("bad") has prevented the request from succeeding ( pods/log p)',
        ),
    ],
)
async def test_a_kubelet_that_refuses_a_log_is_quoted(
    api: Any, kubelet: Far, status: int, said: str, code: int, reason: str, message: str
) -> None:
    await make_node(api, kubelet.port)
    await make_pod(api)
    kubelet.answer = f"HTTP/1.1 {status} X\r\nContent-Length: {len(said)}\r\n\r\n{said}".encode()
    reply = await api.get(f"{PODS}/p/log")
    assert (reply.status, reply.json.get("reason"), reply.json["message"]) == (code, reason, message)


async def test_a_kubelet_that_is_not_there(api: Any) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    await make_node(api, port)
    await make_pod(api)
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    reply = await api.get(f"{PODS}/p/log")
    url = f"https://127.0.0.1:{port}/containerLogs/default/p/c0"
    assert (reply.status, reply.json["message"]) == (500, f'Get "{url}": {refused}')
    reply = await api.get(f"{PODS}/p/exec?command=ls&stdout=1", connection="Upgrade", upgrade="SPDY/3.1")
    assert (reply.status, reply.json["message"]) == (500, f"error dialing backend: {refused}")


async def test_a_node_that_is_missing_or_has_no_address(api: Any) -> None:
    await make_pod(api)
    reply = await api.get(f"{PODS}/p/log")
    assert (reply.status, reply.json["message"]) == (404, 'pods "n" not found')
    await api.create("/api/v1/nodes", {"metadata": {"name": "n"}})
    reply = await api.get(f"{PODS}/p/log")
    assert (reply.status, reply.json["message"]) == (500, "no preferred addresses found; known addresses: []")


@pytest.mark.parametrize(
    ("subresource", "query", "target"),
    [
        (
            *("exec", "command=sh&command=-c&stdin=1&stdout=true&tty=1"),
            "exec/default/p/c0?command=sh&command=-c&input=1&output=1&tty=1",
        ),
        ("attach", "container=c0&stderr=1&stdout=false", "attach/default/p/c0?error=1"),
        ("portforward", "ports=80&ports=81", "portForward/default/p?port=80%2C81"),
        ("portforward", "", "portForward/default/p"),
    ],
)
async def test_a_stream_is_the_kubelets(api: Any, kubelet: Far, subresource: str, query: str, target: str) -> None:
    await make_node(api, kubelet.port)
    await make_pod(api)
    kubelet.answer = SWITCHED + b"X-Stream-Protocol-Version: v4\r\n\r\nahead "
    answer = await api.answer(
        *("POST", f"{PODS}/p/{subresource}?{query}"),
        connection="Upgrade",
        upgrade="SPDY/3.1",
        x_stream_protocol_version="v4",
    )
    assert isinstance(answer, Upgrade)
    assert ("X-Stream-Protocol-Version", "v4") in answer.headers
    ((first, headers, _),) = kubelet.asked
    assert first == f"POST /{target} HTTP/1.1"
    assert (headers["upgrade"], headers["x-stream-protocol-version"]) == ("SPDY/3.1", "v4")
    assert "authorization" not in headers
    assert headers["x-forwarded-for"] == "127.0.0.1"

    async def accept() -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Server]:
        server = await asyncio.get_running_loop().create_server(answer.protocol, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        return (*await asyncio.open_connection("127.0.0.1", port), server)

    reader, writer, server = await accept()
    async with asyncio.timeout(10):
        writer.write(b"x" * 300_000)
        assert await reader.readexactly(6 + 300_000) == b"ahead " + b"X" * 300_000
        writer.write_eof()
        assert await reader.read() == b""
    writer.close()
    server.close()


async def test_a_stream_that_is_refused_is_told_of(api: Any, kubelet: Far) -> None:
    await make_node(api, kubelet.port)
    await make_pod(api)
    reply = await api.get(f"{PODS}/p/exec?command=ls")
    assert (reply.status, reply.json["message"]) == (400, "Upgrade request required")
    kubelet.answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"
    reply = await api.get(f"{PODS}/p/exec?command=ls", connection="Upgrade", upgrade="websocket")
    assert (reply.status, reply.body) == (404, b"gone")
    kubelet.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
    reply = await api.get(f"{PODS}/p/exec?command=ls", connection="Upgrade", upgrade="websocket")
    assert (reply.status, reply.json["message"]) == (500, "invalid upgrade response: status code 200")


async def test_opening_a_stream_with_a_get_takes_the_right_to_create(api: Any, kubelet: Far) -> None:
    await make_node(api, kubelet.port)
    await make_pod(api)
    rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]
    await api.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "jane"}],
    }
    await api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    reply = await api.get(f"{PODS}/p/exec?command=ls", token="jane-token")
    assert reply.status == 403
    assert 'cannot create resource "pods/exec"' in reply.json["message"]


@pytest.mark.usefixtures("anywhere")
async def test_a_request_for_a_pod_is_passed_on_whole(api: Any, web: Far) -> None:
    await make_pod(api, ports=[{"containerPort": web.port}])
    await patch(api, f"{PODS}/p/status", {"status": {"podIP": "127.0.0.1"}})
    head = "HTTP/1.1 201 Created\r\nX-A: b\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: a/b\r\n"
    web.answer = f"{head}Content-Length: 2\r\n\r\nok".encode()
    reply = await api.call("POST", f"{PODS}/p/proxy/a b/%C3%BC/?x=%20y", b"body", host="hk:1", x_c="d", te="x")
    assert (reply.status, reply.content_type, reply.body) == (201, "a/b", b"ok")
    told = dict(reply.headers)
    assert told["X-A"] == "b"
    assert "Access-Control-Allow-Origin" not in told
    ((first, headers, body),) = web.asked
    assert (first, body) == ("POST /a%20b/%25C3%25BC/?x=%20y HTTP/1.1", b"body")  # the test's path is decoded already
    assert (headers["host"], headers["x-c"], headers["x-forwarded-host"]) == ("hk:1", "d", "hk:1")
    assert headers["x-forwarded-uri"] == f"{PODS}/p/proxy/a%20b/%25C3%25BC/"
    assert {"te", "authorization"}.isdisjoint(headers)


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("/login", f"https://hk:1{PODS}/p:PORT/proxy/login"),
        ("http://127.0.0.1:PORT/a/", f"https://hk:1{PODS}/p:PORT/proxy/a/"),
        ("http://elsewhere/a", "http://elsewhere/a"),
        ("b", "b"),
    ],
)
async def test_redirects_lead_back_through_here(api: Any, web: Far, location: str, seen: str) -> None:
    await make_pod(api)
    await patch(api, f"{PODS}/p/status", {"status": {"podIP": "127.0.0.1"}})
    location, seen = (text.replace("PORT", str(web.port)) for text in (location, seen))
    web.answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    reply = await api.get(f"{PODS}/p:{web.port}/proxy/x", host="hk:1")
    assert (reply.status, dict(reply.headers)["Location"]) == (302, seen)


@pytest.mark.usefixtures("anywhere")
async def test_a_proxied_path_without_a_slash_gets_one(api: Any, web: Far) -> None:
    await make_pod(api)
    await patch(api, f"{PODS}/p/status", {"status": {"podIP": "127.0.0.1"}})
    reply = await api.get(f"{PODS}/p:{web.port}/proxy?a=b")
    assert (reply.status, dict(reply.headers)["Location"]) == (301, f"{PODS}/p:{web.port}/proxy/?a=b")
    reply = await api.call("OPTIONS", f"{PODS}/p:{web.port}/proxy")
    assert reply.status == 200
    assert web.asked[0][0] == "OPTIONS / HTTP/1.1"
    reply = await api.call("TRACE", f"{PODS}/p:{web.port}/proxy")
    assert reply.status == 405


@pytest.mark.usefixtures("anywhere")
async def test_a_service_leads_to_one_of_its_pods(api: Any, web: Far) -> None:
    services = "/api/v1/namespaces/default/services"
    reply = await api.get(f"{services}/s/proxy/")
    assert (reply.status, reply.json["message"]) == (404, 'services "s" not found')
    await api.create(services, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "name": "http"}]}})
    await make_pod(api)
    await patch(api, f"{PODS}/p/status", {"status": {"podIPs": [{"ip": "127.0.0.1"}]}})
    subset = {"addresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 1, "name": "http"}]}
    endpoints = {"metadata": {"name": "s"}, "subsets": [subset]}
    await api.create("/api/v1/namespaces/default/endpoints", endpoints)
    reply = await api.get(f"{services}/s:http/proxy/")
    assert (reply.status, reply.json["message"]) == (503, 'no endpoints available for service "s:http"')
    reply = await api.get(f"{services}/s:81/proxy/")
    assert (reply.status, reply.json["message"]) == (503, 'no service port 81 found for service "s"')


async def test_what_may_not_be_asked(api: Any, web: Far) -> None:
    await make_node(api, web.port)
    reply = await api.get("/api/v1/nodes/n/proxy/pods")
    assert (reply.status, reply.json["message"]) == (400, "address not allowed")
    await make_pod(api)
    await patch(api, f"{PODS}/p/status", {"status": {"podIP": "169.254.169.254"}})
    reply = await api.get(f"{PODS}/p/proxy/")
    assert (reply.status, reply.json["message"]) == (400, "address not allowed")
    reply = await api.get(f"{PODS}/ftp:p:1/proxy/")
    assert (reply.status, reply.json["message"]) == (400, 'invalid pod request "ftp:p:1"')
    assert web.asked == []


@pytest.mark.usefixtures("anywhere")
async def test_a_node_is_reached_by_its_kubelet_or_by_another_port(api: Any, kubelet: Far, web: Far) -> None:
    await make_node(api, kubelet.port)
    for name, far in (("n", kubelet), (f"n:{kubelet.port}", kubelet), (f"n:{web.port}", web)):
        reply = await api.get(f"/api/v1/nodes/{name}/proxy/stats")
        assert (reply.status, reply.body) == (200, b"hi")
        assert far.asked[-1][0] == "GET /stats HTTP/1.1"
    assert len(kubelet.asked) == 2


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        *(("10.0.0.1", True), ("192.0.2.1", True), ("fd00::1", True), ("127.0.0.1", False), ("::1", False)),
        *(("169.254.0.1", False), ("fe80::1", False), ("224.0.0.1", False), ("0.0.0.0", False), ("", False)),
        *(("255.255.255.255", False), ("x", False)),
    ],
)
def test_addresses_of_pods(address: str, allowed: bool) -> None:
    assert is_global(address) is allowed


@pytest.mark.parametrize(("address", "allowed"), [("127.0.0.1", True), ("10.0.0.1", True), ("169.254.0.1", False)])
def test_addresses_of_pods_that_are_all_on_this_machine(address: str, allowed: bool) -> None:
    assert is_reachable_here(address) is allowed


async def test_only_pods_of_a_service_are_asked(api: Any) -> None:
    await api.create("/api/v1/namespaces/default/services", {"metadata": {"name": "s"}, "spec": {"ports": PORTS}})
    await make_pod(api)
    target = {"kind": "Pod", "name": "p", "namespace": "default"}
    addresses = [{"ip": "10.0.0.8"}, {"ip": "10.0.0.9", "targetRef": target}, {"ip": "10.0.0.10", "targetRef": target}]
    subset = {"addresses": addresses, "ports": [{"port": 8080, "name": "http"}]}
    await api.create("/api/v1/namespaces/default/endpoints", {"metadata": {"name": "s"}, "subsets": [subset]})
    await patch(api, f"{PODS}/p/status", {"status": {"podIPs": [{"ip": "10.0.0.9"}]}})
    resources = {name: api.api.resource("", name) for name in ("endpoints", "pods", "services")}
    places_ = places.Targets(resources, api.api.hub, places.KubeletTerms.unchecked())
    for given, scheme in (("s:http", "http"), ("s:80", "http"), ("https:s:80", "https")):
        peer = await places_.service("default", given)
        assert (peer.authority, peer.scheme) == ("10.0.0.9:8080", scheme)


class Apart:
    """The network of pods with addresses 10.244.0.x, whose ports are those of loopback."""

    def __init__(self, pod_cidr: str = "10.244.0.0/24", failure: OSError | None = None) -> None:
        self.pod_cidr = pod_cidr
        self.failure = failure
        self.dialled: list[str] = []

    async def describe(self) -> Description:
        if isinstance(self.failure, NetworkUnavailable):
            raise self.failure
        return Description("namespace", pod_cidr=self.pod_cidr)

    async def dial(self, host: str, port: int) -> socket.socket:
        if self.failure is not None:
            raise self.failure
        self.dialled.append(host)
        return socket.create_connection(("127.0.0.1", port))


def in_network(api: Any, network: Apart | None) -> places.Targets:
    terms = replace(places.KubeletTerms.unchecked(), pod_network=cast(PodNetwork, network))
    return places.Targets({"pods": api.api.resource("", "pods")}, api.api.hub, terms)


async def test_pods_in_a_network_of_their_own_are_connected_to_there(api: Any) -> None:
    network = Apart()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connected = await in_network(api, network).connected(Peer("10.244.0.7", listening.getsockname()[1]))
        assert connected is not None
        connected.close()
    assert network.dialled == ["10.244.0.7"]


@pytest.mark.parametrize(
    "network",
    [None, Apart(failure=NetworkUnavailable(0, "nobody listens")), Apart(pod_cidr=""), Apart(pod_cidr="10.9.0.0/16")],
)
async def test_other_pods_are_connected_to_from_here(api: Any, network: Apart | None) -> None:
    assert await in_network(api, network).connected(Peer("10.244.0.7", 80)) is None


async def test_a_pod_that_refuses_is_told_as_one_that_is_connected_to_from_here(api: Any) -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    with pytest.raises(ExchangeError, match=r"^dial tcp 10\.244\.0\.7:80: connect: connection refused$"):
        await in_network(api, Apart(failure=refused)).connected(Peer("10.244.0.7", 80))


@pytest.mark.parametrize("upgrade", [False, True])
async def test_what_is_proxied_goes_through_the_pods_network(
    api: Any, web: Far, monkeypatch: pytest.MonkeyPatch, upgrade: bool
) -> None:
    async def connected(self: places.Targets, peer: Peer) -> socket.socket:
        return await Apart().dial(peer.host, web.port)

    monkeypatch.setattr(places.Targets, "connected", connected)
    await make_pod(api)
    await patch(api, f"{PODS}/p/status", {"status": {"podIP": "10.244.0.7"}})
    headers = {"connection": "Upgrade", "upgrade": "x"} if upgrade else {}
    web.answer = b"HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\n\r\nhi"
    reply = await api.get(f"{PODS}/p:80/proxy/x", **headers)
    assert (reply.status, reply.body) == (418, b"hi")
    assert [asked[0] for asked in web.asked] == ["GET /x HTTP/1.1"]


async def test_a_pod_that_can_not_be_reached_in_its_network_is_told_of(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(self: places.Targets, peer: Peer) -> socket.socket:
        raise ExchangeError("dial tcp 10.244.0.7:80: connect: connection refused")

    monkeypatch.setattr(places.Targets, "connected", refused)
    await make_pod(api)
    await patch(api, f"{PODS}/p/status", {"status": {"podIP": "10.244.0.7"}})
    reply = await api.get(f"{PODS}/p:80/proxy/x")
    message = "error trying to reach service: dial tcp 10.244.0.7:80: connect: connection refused"
    assert (reply.status, reply.json["message"]) == (503, message)


PAGE = """<html><!-- <a href="/no"> --><script src='/s.js'>"<a href='/no'>"</script>
<A class="x" HREF = /login?a=1&amp;b=2>x</A><img src="http://127.0.0.1:PORT/i.png" alt="/no"><a href="b">
<form action="http://elsewhere/f"><br/></html>"""
REWRITTEN = """<html><!-- <a href="/no"> --><script src="BASE/s.js">"<a href='/no'>"</script>
<A class="x" HREF = "BASE/login?a=1&amp;b=2">x</A><img src="BASE/i.png" alt="/no"><a href="b">
<form action="http://elsewhere/f"><br/></html>"""


def _deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(
    ("encoding", "pack", "unpack"),
    [
        ("", bytes, bytes),
        ("gzip", gzip.compress, gzip.decompress),
        ("deflate", _deflated, lambda data: zlib.decompress(data, -15)),
    ],
)
async def test_links_in_pages_lead_back_through_here(
    api: Any, web: Far, encoding: str, pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes]
) -> None:
    await make_pod(api)
    await patch(api, f"{PODS}/p/status", {"status": {"podIP": "127.0.0.1"}})
    body = pack(PAGE.replace("PORT", str(web.port)).encode())
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Encoding: {encoding}\r\n\r\n"
    web.answer = head.encode() + body
    reply = await api.get(f"{PODS}/p:{web.port}/proxy/x", host="hk:1")
    base = f"https://hk:1{PODS}/p:{web.port}/proxy"
    assert unpack(reply.body).decode() == REWRITTEN.replace("BASE", base)


@pytest.mark.usefixtures("anywhere")
async def test_a_page_that_is_long_is_passed_on_as_it_is(api: Any, web: Far) -> None:
    await make_pod(api)
    await patch(api, f"{PODS}/p/status", {"status": {"podIP": "127.0.0.1"}})
    page = b'<a href="/x">' * 100_000
    web.answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
    answer = await api.answer("GET", f"{PODS}/p:{web.port}/proxy/x")
    assert await streamed(answer) == page


def test_a_page_of_what_only_looks_like_tags_stays_as_it_is() -> None:
    """And takes no longer than any other: each would take minutes if it were looked at more than once."""
    for page in (b"<a " * 100_000, b"<a '" * 100_000, b'<a x="' * 80_000, b"<!--" * 100_000, b"<script>" * 60_000):
        assert rewritten_page(page, "", lambda link: link) == page
