"""What the client asks, how often, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hyperkube_machinery.builtin import DEPLOYMENTS, NODES, PODS
from hyperkube_machinery.client import (
    Client,
    ClientError,
    ClientMetrics,
    Listing,
    LocalServer,
    Unreachable,
    WatchEvent,
    connect,
)
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.kubeconfig import Access, KubeconfigError
from hyperkube_machinery.serving.exposition import exposition
from hyperkube_machinery.serving.messages import Answer, BodyWriter, Request, Response, StreamingResponse
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.api import MemoryAPI
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n"}}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


class Recorded:
    """Keeps requests, and answers them with what a test wants, the last of it again and again."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.requests: list[Request] = []
        self.answers = list(answers) or [Response(200, b"{}")]

    def __call__(self, request: Request) -> Answer:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def line(self) -> str:
        request = self.requests[-1]
        return f"{request.method} {request.path}" + (f"?{request.query}" if request.query else "")


@asynccontextmanager
async def asking(
    recorded: Recorded, clock: VirtualClock, server: str = "https://x", **options: Any
) -> AsyncIterator[Client]:
    local = LocalServer(server, recorded, lambda certificate, key: b"")
    async with connect(Access(server=server), clock=clock, user_agent="me/1", local=local, **options) as client:
        yield client
    await local.close()


@pytest.mark.parametrize(
    ("ask", "line", "body", "content_type"),
    [
        (lambda c: c.get(PODS, "a", "n"), "GET /api/v1/namespaces/n/pods/a", None, None),
        (lambda c: c.get(NODES, "a"), "GET /api/v1/nodes/a", None, None),
        (
            lambda c: c.get(DEPLOYMENTS, "a", "n", subresource="scale"),
            "GET /apis/apps/v1/namespaces/n/deployments/a/scale",
            None,
            None,
        ),
        (
            lambda c: c.get(PODS, "a", "n", resource_version="5"),
            "GET /api/v1/namespaces/n/pods/a?resourceVersion=5",
            None,
            None,
        ),
        (lambda c: c.create(PODS, POD), "POST /api/v1/namespaces/n/pods", POD, "application/json"),
        (
            lambda c: c.create(PODS, {}, "m", dry_run=True, field_manager="f"),
            "POST /api/v1/namespaces/m/pods?dryRun=All&fieldManager=f",
            {},
            "application/json",
        ),
        (
            lambda c: c.create(PODS, {}, "n", name="a", subresource="binding"),
            "POST /api/v1/namespaces/n/pods/a/binding",
            {},
            "application/json",
        ),
        (lambda c: c.replace(PODS, POD), "PUT /api/v1/namespaces/n/pods/a", POD, "application/json"),
        (
            lambda c: c.replace(PODS, POD, subresource="status"),
            "PUT /api/v1/namespaces/n/pods/a/status",
            POD,
            "application/json",
        ),
        (
            lambda c: c.patch(PODS, "a", {"x": 1}, "n"),
            "PATCH /api/v1/namespaces/n/pods/a",
            {"x": 1},
            "application/merge-patch+json",
        ),
        (
            lambda c: c.patch(PODS, "a", [], "n", kind="json"),
            "PATCH /api/v1/namespaces/n/pods/a",
            [],
            "application/json-patch+json",
        ),
        (
            lambda c: c.patch(PODS, "a", {}, "n", kind="strategic"),
            "PATCH /api/v1/namespaces/n/pods/a",
            {},
            "application/strategic-merge-patch+json",
        ),
        (
            lambda c: c.patch(PODS, "a", POD, "n", kind="apply", field_manager="f", force=True),
            "PATCH /api/v1/namespaces/n/pods/a?fieldManager=f&force=true",
            POD,
            "application/apply-patch+yaml",
        ),
        (lambda c: c.delete(PODS, "a", "n"), "DELETE /api/v1/namespaces/n/pods/a", None, None),
        (
            lambda c: c.delete(
                PODS, "a", "n", grace_seconds=0, uid="u", resource_version="7", propagation="Background"
            ),
            "DELETE /api/v1/namespaces/n/pods/a",
            {
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "gracePeriodSeconds": 0,
                "propagationPolicy": "Background",
                "preconditions": {"uid": "u", "resourceVersion": "7"},
            },
            "application/json",
        ),
        (
            lambda c: c.delete_collection(PODS, "n", labels="a in (b,c)", fields="x=y"),
            "DELETE /api/v1/namespaces/n/pods?labelSelector=a%20in%20%28b%2Cc%29&fieldSelector=x%3Dy",
            None,
            None,
        ),
        (lambda c: c.list(PODS, "n", limit=3), "GET /api/v1/namespaces/n/pods?limit=3", None, None),
        (lambda c: c.list(PODS, resource_version="0"), "GET /api/v1/pods?resourceVersion=0", None, None),
        (lambda c: c.raw("GET", "/version"), "GET /version", None, None),
    ],
)
async def test_what_is_asked(
    ask: Callable[[Client], Any], line: str, body: Any, content_type: str | None, clock: VirtualClock
) -> None:
    recorded = Recorded()
    async with asking(recorded, clock) as client:
        await ask(client)
    request = recorded.requests[-1]
    assert recorded.line == line
    assert request.body == (b"" if body is None else encode(body))
    assert request.headers.get("content-type") == content_type
    assert request.headers["user-agent"] == "me/1"


async def test_names_cannot_leave_their_place_in_the_path(clock: VirtualClock) -> None:
    recorded = Recorded()
    async with asking(recorded, clock) as client:
        await client.get(NODES, "a/../b?c#d %")
        assert recorded.line == "GET /api/v1/nodes/a/../b?c#d %"  # one segment, as the router sees it decoded
        for name in ("", ".", ".."):
            with pytest.raises(ValueError, match="name"):
                await client.get(NODES, name)
    assert len(recorded.requests) == 1


async def test_a_server_may_be_below_a_path(clock: VirtualClock) -> None:
    recorded = Recorded()
    async with asking(recorded, clock, "https://x/k8s/") as client:
        await client.get(NODES, "a")
    assert recorded.line == "GET /k8s/api/v1/nodes/a"


@pytest.mark.parametrize("server", ["ftp://x", "https://", "https://x:y", "https://x:0", "https://x?y=z"])
async def test_an_address_that_is_none_is_told(server: str, clock: VirtualClock) -> None:
    with pytest.raises(KubeconfigError, match="is no address"):
        async with connect(Access(server=server), clock=clock, user_agent="x"):
            pass


async def test_refusals_are_errors_with_their_status(clock: VirtualClock) -> None:
    async with asking(Recorded(APIError.not_found(PODS, "a")), clock) as client:
        with pytest.raises(APIError) as caught:
            await client.get(PODS, "a", "n")
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")
    assert str(caught.value) == 'pods "a" not found'


@pytest.mark.parametrize(
    ("answer", "code", "reason", "told"),
    [
        (
            Response(404, b"404 page not found\n"),
            404,
            "NotFound",
            "the server could not find the requested resource (404",
        ),
        (Response(502, b"<html>"), 502, "Unknown", "the server answered with 502"),
        (Response(503, b""), 503, "ServiceUnavailable", "the server is currently unable to handle the request"),
        (Response(302, b""), 302, "Unknown", "302"),
        (Response(401, b'{"kind":"Status","apiVersion":"v1"}'), 401, "", ""),
    ],
)
async def test_refusals_of_others_than_the_api_are_told_alike(
    answer: Response, code: int, reason: str, told: str, clock: VirtualClock
) -> None:
    async with asking(Recorded(answer), clock) as client:
        with pytest.raises(APIError) as caught:
            await client.get(PODS, "a", "n")
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert told in str(caught.value)


async def test_an_answer_that_is_not_json_is_told(clock: VirtualClock) -> None:
    async with asking(Recorded(Response(200, b"<html>")), clock) as client:
        with pytest.raises(ClientError, match="the answer is not JSON"):
            await client.get(PODS, "a", "n")


def busy(status: int = 429, seconds: str = "2") -> Response:
    return Response(status, b"", headers=(("Retry-After", seconds),))


@pytest.mark.parametrize("status", [429, 503, 500])
async def test_a_server_that_asks_for_patience_gets_it_whatever_was_asked(status: int, clock: VirtualClock) -> None:
    recorded = Recorded(busy(status), busy(status), Response(201, b"{}"))
    async with asking(recorded, clock) as client:
        task = asyncio.create_task(client.create(PODS, POD))
        await clock.advance(1.9)
        assert len(recorded.requests) == 1
        await clock.advance(0.2)
        assert len(recorded.requests) == 2
        await clock.advance(2)
        assert await task == {}


async def test_patience_has_an_end(clock: VirtualClock) -> None:
    recorded = Recorded(busy())
    async with asking(recorded, clock) as client:
        task = asyncio.create_task(client.get(PODS, "a", "n"))
        await clock.advance(60)
        with pytest.raises(APIError) as caught:
            await task
    assert caught.value.status["details"] == {"retryAfterSeconds": 2}
    assert len(recorded.requests) == 11


@pytest.mark.parametrize("answer", [busy(seconds="3600"), busy(seconds="soon"), Response(429, b""), busy(404)])
async def test_who_asks_for_too_much_patience_or_none_is_not_asked_again(answer: Response, clock: VirtualClock) -> None:
    recorded = Recorded(answer)
    async with asking(recorded, clock) as client:
        with pytest.raises(APIError):
            await client.get(PODS, "a", "n")
    assert len(recorded.requests) == 1


async def test_only_what_reads_is_asked_again_after_it_broke_off(clock: VirtualClock) -> None:
    broken = Unreachable("EOF", broke_off=True)
    recorded = Recorded(broken, Response(200, b"{}"))
    async with asking(recorded, clock) as client:
        task = asyncio.create_task(client.get(PODS, "a", "n"))
        await clock.advance(1.1)
        assert await task == {}
        recorded.answers = [broken]
        with pytest.raises(Unreachable):
            await client.create(PODS, POD)
        assert len(recorded.requests) == 3
        recorded.answers = [Unreachable("connection refused")]
        with pytest.raises(Unreachable):
            await client.get(PODS, "a", "n")
    assert len(recorded.requests) == 4


async def test_no_more_is_asked_than_is_allowed(clock: VirtualClock) -> None:
    recorded = Recorded()
    async with asking(recorded, clock, qps=2, burst=3) as client:
        tasks = [asyncio.create_task(client.get(NODES, f"n{number}")) for number in range(5)]
        await clock.advance(0)
        assert len(recorded.requests) == 3
        await clock.advance(0.5)
        assert len(recorded.requests) == 4
        await clock.advance(0.5)
        await asyncio.gather(*tasks)
    assert [request.path[-2:] for request in recorded.requests] == ["n0", "n1", "n2", "n3", "n4"]


async def test_pages_are_followed(clock: VirtualClock) -> None:
    api = MemoryAPI()
    for number in range(5):
        api.put("/api/v1/pods", {**POD, "metadata": {"name": f"p{number}", "namespace": "n"}})
    api.page_items = 2
    async with api.client(clock) as client:
        listing = await client.list(PODS, labels="a=b")
        assert [item["metadata"]["name"] for item in listing.items] == ["p0", "p1", "p2", "p3", "p4"]
        assert (listing.resource_version, listing.continue_token) == ("5", "")
        assert {(item["apiVersion"], item["kind"]) for item in listing.items} == {("v1", "Pod")}
        assert [asked.query.get("continue") for asked in api.asked] == [None, "2", "4"]
        assert {(asked.query["labelSelector"], asked.query["limit"]) for asked in api.asked} == {("a=b", "500")}
        page = await client.list(PODS, limit=1)
        assert (len(page.items), page.continue_token, page.remaining) == (1, "1", 4)
        page = await client.list(PODS, limit=2, continue_token="3")
        assert [item["metadata"]["name"] for item in page.items] == ["p3", "p4"]


async def test_pages_that_have_expired_are_read_all_at_once(clock: VirtualClock) -> None:
    api = MemoryAPI()
    for number in range(3):
        api.put("/api/v1/pods", {**POD, "metadata": {"name": f"p{number}", "namespace": "n"}})
    api.page_items = 1
    gone = APIError.expired("The provided continue parameter is too old")
    api.refuse(gone, lambda asked: asked.query.get("continue") == "2")
    api.page_items = 1
    async with api.client(clock) as client:
        listing = await client.list(PODS)
    assert [item["metadata"]["name"] for item in listing.items] == ["p0", "p1", "p2"]
    assert "limit" not in api.asked[3].query  # after two pages and the refusal


async def test_an_empty_list_may_be_null(clock: VirtualClock) -> None:
    async with asking(Recorded(Response(200, b'{"metadata":{"resourceVersion":"3"},"items":null}')), clock) as client:
        assert await client.list(PODS) == Listing([], "3")


async def test_metadata_alone_can_be_had(clock: VirtualClock) -> None:
    recorded = Recorded()
    async with asking(recorded, clock) as client:
        await client.list(PODS, metadata_only=True)
        accept = recorded.requests[-1].headers["accept"]
        assert accept == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
        (await client.open_watch(PODS, metadata_only=True)).close()
        accept = recorded.requests[-1].headers["accept"]
        assert accept == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


def streaming(*pieces: bytes) -> StreamingResponse:
    async def produce(writer: BodyWriter) -> None:
        for piece in pieces:
            writer.send(piece)
            await asyncio.sleep(0)

    return StreamingResponse(produce)


async def test_events_come_out_of_lines_however_these_are_cut(clock: VirtualClock) -> None:
    lines = b"".join(encode({"type": "ADDED", "object": {"number": number}}) + b"\n" for number in range(20))
    for size in (1, 7, 50, 10_000):
        pieces = [lines[at : at + size] for at in range(0, len(lines), size)]
        async with asking(Recorded(streaming(*pieces)), clock) as client:
            events = [event async for event in client.watch(PODS)]
        assert events == [WatchEvent("ADDED", {"number": number}) for number in range(20)]


async def test_a_watch_asks_for_what_was_wanted(clock: VirtualClock) -> None:
    recorded = Recorded(streaming())
    async with asking(recorded, clock) as client:
        options: dict[str, Any] = {
            "resource_version": "5",
            "labels": "a=b",
            "initial_events": True,
            "timeout_seconds": 9,
        }
        assert [event async for event in client.watch(PODS, "n", **options)] == []
    assert recorded.line == (
        "GET /api/v1/namespaces/n/pods?watch=true&resourceVersion=5&labelSelector=a%3Db&allowWatchBookmarks=true"
        "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=9"
    )


async def test_a_watch_that_tells_of_an_error_raises_it(clock: VirtualClock) -> None:
    status = APIError.expired("too old").status
    line = encode({"type": "ERROR", "object": status}) + b"\n"
    async with asking(Recorded(streaming(line)), clock) as client:
        with pytest.raises(APIError) as caught:
            async for _ in client.watch(PODS):
                pass
    assert caught.value.code == 410


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b'{"type":"ADDED"}\n', b"null\n"])
async def test_an_event_that_is_none_is_told(line: bytes, clock: VirtualClock) -> None:
    async with asking(Recorded(streaming(line)), clock) as client:
        with pytest.raises(Unreachable, match="unable to decode an event"):
            async for _ in client.watch(PODS):
                pass


async def test_who_stops_watching_ends_the_watch(clock: VirtualClock) -> None:
    api = MemoryAPI()
    api.put("/api/v1/pods", {**POD})
    async with api.client(clock) as client:
        watch = client.watch(PODS, initial_events=True)
        assert (await anext(watch)).type == "ADDED"
        await watch.aclose()  # type: ignore[attr-defined]
        await clock.advance(0)
        assert api.watches == 0


async def test_discovery_tells_each_resource_in_its_preferred_version(clock: VirtualClock) -> None:
    def entry(resource: str, kind: str) -> dict[str, Any]:
        about = {"group": "", "version": "v1", "kind": kind}
        return {"resource": resource, "responseKind": about, "scope": "Namespaced", "verbs": ["get"]}

    def document(*groups: Any) -> Response:
        items = [
            {
                "metadata": {"name": name} if name else {},
                "versions": [{"version": version, "resources": resources} for version, resources in versions],
            }
            for name, *versions in groups
        ]
        return Response(200, encode({"kind": "APIGroupDiscoveryList", "items": items}))

    core = document(("", ("v1", [entry("pods", "Pod")])))
    groups = document(
        ("g", ("v2", [entry("as", "A")]), ("v1", [entry("as", "A"), entry("bs", "B")])),
        ("h", ("v1", [entry("as", "A")])),
    )
    async with asking(Recorded(core, groups), clock) as client:
        found = await client.discover()
    assert [(one.api_version, one.resource) for one in found] == [
        ("v1", "pods"),
        ("g/v2", "as"),
        ("g/v1", "bs"),
        ("h/v1", "as"),
    ]
    async with asking(Recorded(Response(200, b'{"kind":"APIVersions"}')), clock) as client:
        with pytest.raises(ClientError, match="no aggregated discovery"):
            await client.discover()


async def test_discovery_is_not_sent_again_while_it_is_the_same(clock: VirtualClock) -> None:
    def document(group: str, tag: str) -> Response:
        resource = {"resource": "as", "responseKind": {"kind": "A"}, "scope": "Namespaced", "verbs": ["get"]}
        items = [{"metadata": {"name": group}, "versions": [{"version": "v1", "resources": [resource]}]}]
        body = encode({"kind": "APIGroupDiscoveryList", "items": items})
        return Response(200, body, headers=[("ETag", tag)])

    same = Response(304, b"", "")
    recorded = Recorded(document("", '"1"'), document("g", '"2"'), same, same, same, document("h", '"3"'))
    async with asking(recorded, clock) as client:
        first = await client.discover()
        assert await client.discover() == first
        assert [one.group for one in await client.discover()] == ["", "h"]
    sent = [request.headers.get("if-none-match") for request in recorded.requests]
    assert sent == [None, None, '"1"', '"2"', '"1"', '"2"']


async def test_what_is_asked_is_counted_in_upstreams_names(clock: VirtualClock) -> None:
    registry = Registry()
    recorded = Recorded(busy(), Response(200, b"{}"))
    async with asking(recorded, clock, metrics=ClientMetrics(registry)) as client:
        task = asyncio.create_task(client.get(NODES, "a"))
        await clock.advance(3)
        await task
        recorded.answers = [Unreachable("x")]
        with pytest.raises(Unreachable):
            await client.create(PODS, POD)
    text = b"".join([piece async for piece in exposition(registry)]).decode()
    for line in (
        'rest_client_requests_total{code="429",method="GET",host="x:443"} 1',
        'rest_client_requests_total{code="200",method="GET",host="x:443"} 1',
        'rest_client_requests_total{code="<error>",method="POST",host="x:443"} 1',
        'rest_client_request_retries_total{code="429",verb="GET",host="x:443"} 1',
        'rest_client_request_duration_seconds_count{verb="GET",host="x:443"} 2',
        'rest_client_rate_limiter_duration_seconds_count{verb="GET",host="x:443"} 2',
    ):
        assert line in text
