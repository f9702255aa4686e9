"""The API over a store in memory, called without sockets: what the tests of its behaviour drive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hyperkube_apiserver.access import Terms, open_access
from hyperkube_apiserver.admission import AdmissionSettings
from hyperkube_apiserver.admissionplugins import chosen
from hyperkube_apiserver.assembly import API, Settings, assemble, follow_holdings, front_desk
from hyperkube_apiserver.authn import KeySet, SigningKey, StaticTokens
from hyperkube_apiserver.authn.keys import create_key
from hyperkube_apiserver.definitionstatus import settle
from hyperkube_apiserver.discovery import Discovery
from hyperkube_apiserver.handlers.nonresource import NonResource
from hyperkube_apiserver.handlers.router import Router
from hyperkube_apiserver.handlers.tokens import Issuer
from hyperkube_apiserver.issuance import openid_documents
from hyperkube_apiserver.openapi import OpenAPI
from hyperkube_apiserver.pipeline import Pipeline
from hyperkube_apiserver.populate import populate
from hyperkube_core.testing import VirtualClock
from hyperkube_machinery.release import KUBERNETES
from hyperkube_machinery.serving.health import Health
from hyperkube_machinery.serving.messages import Request, Response, StreamingResponse
from hyperkube_machinery.storage.memory import MemoryStore

TOKENS = """\
admin-token,admin,1,"system:masters"
jane-token,jane,2,"developers"
"""


WITHOUT_ACCOUNTS = AdmissionSettings(plugins=chosen(disable=["ServiceAccount"]))
"""Nobody makes the accounts that pods would need."""


ISSUER = "https://issuer.example"
KEY = create_key()


def terms(static: StaticTokens) -> Terms:
    """Static tokens, tokens of service accounts, and everybody else."""
    return Terms(
        issuer=Issuer(name=ISSUER, key=KEY, audiences=("api", ISSUER)), keys=KeySet([KEY.public]), static=static
    )


@pytest.fixture
def signing_key() -> SigningKey:
    """What signs tokens of service accounts."""
    return KEY


class FakeConnection:
    """The far end of a request that came over no socket."""

    peer_certificate = None
    peer_chain = ()
    peer_address = "127.0.0.1"

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}


class Reply:
    """An answer, read."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.content_type = response.content_type
        self.headers = list(response.headers)
        body = response.body
        self.body = body if isinstance(body, bytes) else b"".join(body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def warnings(self) -> list[str]:
        return [value for name, value in self.headers if name == "Warning"]


class Stream:
    """The body of a watch as its client sees it; also what the handler writes to."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = asyncio.Event()
        self.buffered = 0
        self.frames: list[bytes] = []

    def send(self, data: bytes) -> None:
        if data.startswith(b"\0"):  # no JSON, but a message with its length
            self._events.put_nowait(data)
            return
        for line in data.splitlines():
            self._events.put_nowait(json.loads(line))

    def send_framed(self, frame: bytes) -> None:
        self.frames.append(frame)
        length, _, rest = frame.partition(b"\r\n")
        self.send(rest[: int(length, 16)])

    @property
    def closed(self) -> bool:
        return self._gone.is_set()

    async def drain(self) -> None:
        self.buffered = 0

    async def wait_closed(self) -> None:
        await self._gone.wait()

    async def next(self) -> Any:
        """The next event, None once the stream has ended."""
        return await asyncio.wait_for(self._events.get(), 10)

    async def names(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next `count` events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]

    def ended(self) -> None:
        self._events.put_nowait(None)


class Client:
    """Calls the API as one user."""

    def __init__(self, api: API, pipeline: Pipeline, store: MemoryStore, clock: VirtualClock) -> None:
        self.api = api
        self.store = store
        self.clock = clock
        self.desk = pipeline.desk
        self._pipeline = pipeline
        self._connection = FakeConnection()

    def audit(self, auditor: Any) -> None:
        """Have requests told to `auditor` from now on."""
        self._pipeline._auditor = auditor

    async def answer(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer as the pipeline gives it. Header names are given with underscores, `token` as a word."""
        token = headers.pop("token", "admin-token")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        if data:
            sent.setdefault("content-type", "application/json")
        path, _, query = path.partition("?")
        answer = self._pipeline(Request(method, path, query, sent, data, self._connection))
        return await answer if isinstance(answer, Awaitable) else answer

    async def answer_to(self, request: Request) -> Any:
        """The answer to a request that came on a connection, as the administrator's."""
        request.headers["authorization"] = "Bearer admin-token"
        answer = self._pipeline(request)
        return await answer if isinstance(answer, Awaitable) else answer

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        answer = await self.answer(method, path, body, **headers)
        assert isinstance(answer, Response), f"{method} {path} streams"
        return Reply(answer)

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.call("GET", path, **headers)

    async def create(self, path: str, body: Any, **headers: str) -> Any:
        """What was made; a refusal fails the test."""
        reply = await self.call("POST", path, body, **headers)
        assert reply.status == 201, reply.body
        return reply.json

    async def put(self, path: str, body: Any, **headers: str) -> Reply:
        return await self.call("PUT", path, body, **headers)

    async def merge(self, path: str, patch: Any, **headers: str) -> Reply:
        return await self.call("PATCH", path, patch, content_type="application/merge-patch+json", **headers)

    async def delete(self, path: str, body: Any = None, **headers: str) -> Reply:
        return await self.call("DELETE", path, body, **headers)

    @asynccontextmanager
    async def watch(self, path: str, **headers: str) -> AsyncIterator[Stream]:
        """A watch, for the length of the block."""
        async with self.streaming(await self.answer("GET", path, **headers)) as stream:
            yield stream

    @asynccontextmanager
    async def streaming(self, answer: Response | StreamingResponse) -> AsyncIterator[Stream]:
        """The body of an answer that streams, for the length of the block."""
        assert isinstance(answer, StreamingResponse), Reply(answer).body
        stream = Stream()

        async def produce() -> None:
            await answer.produce(stream)
            stream.ended()

        task = asyncio.create_task(produce())
        try:
            yield stream
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def api(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """The whole API with its bootstrap objects, on a clock of the test's.

    Parametrized indirectly, a test gives the settings it wants.
    """
    settings: Settings = getattr(request, "param", Settings(admission=WITHOUT_ACCOUNTS))
    tokens = tmp_path_factory.mktemp("tokens") / "tokens.csv"
    tokens.write_text(TOKENS)
    clock = VirtualClock()
    async with MemoryStore.open(clock=clock) as store:
        api = assemble(store, clock, settings)
        async with api.hub.running(api.addresses.keep):
            follow_holdings(api)
            await populate(api, clock, settings, secure_port=6443, address="192.0.2.7")
            access = open_access(api, clock, terms(StaticTokens.load(tokens)))
            pipeline = Pipeline(
                access.authenticator,
                access.authorizer,
                access.escalation,
                Router(api.offering, access.handlers, api.hub, clock, shortest_watch_seconds=1800),
                NonResource(
                    Discovery(api.offering, "127.0.0.1:6443"),
                    OpenAPI(api.offering, KUBERNETES, clock),
                    Health({}),
                    documents=openid_documents(ISSUER, KeySet([KEY.public]), keys_uri="", address="127.0.0.1:6443"),
                ),
                desk=front_desk(api, clock),
                clock=clock,
                longest_seconds=60,
            )
            deadlines = asyncio.create_task(pipeline.keep_deadlines())
            try:
                yield Client(api, pipeline, store, clock)
            finally:
                deadlines.cancel()
                await asyncio.gather(deadlines, return_exceptions=True)
                api.cluster.close()


ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class Custom:
    """Makes definitions of custom resources, all of the group example.com, and has them served."""

    PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    def __init__(self, client: Client) -> None:
        self._client = client

    @staticmethod
    def version(name: str = "v1", *, stored: bool = True, spec: Any = None, **more: Any) -> dict[str, Any]:
        """A served version whose objects have a `spec` with these properties, or anything."""
        schema: dict[str, Any] = ANYTHING
        if spec is not None:
            properties = {"spec": {"type": "object", "properties": spec}, "status": ANYTHING}
            schema = {"type": "object", "properties": properties}
        return {"name": name, "served": True, "storage": stored, "schema": {"openAPIV3Schema": schema}, **more}

    @staticmethod
    def made(kind: str, name: str, version: str = "v1", **fields: Any) -> dict[str, Any]:
        """An object of such a definition."""
        return {"apiVersion": f"example.com/{version}", "kind": kind, "metadata": {"name": name}, **fields}

    def definition(self, plural: str, kind: str, *versions: Any, scope: str = "Namespaced", **spec: Any) -> Any:
        names = {"plural": plural, "kind": kind, **spec.pop("names", {})}
        return {
            "metadata": {"name": f"{plural}.example.com"},
            "spec": {
                "group": "example.com",
                "scope": scope,
                "names": names,
                "versions": list(versions) or [self.version()],
                **spec,
            },
        }

    async def define(self, *args: Any, **spec: Any) -> None:
        """Make a definition, and have it served."""
        await self._client.create(self.PATH, self.definition(*args, **spec))
        await self.settle()

    async def redefine(self, *args: Any, **spec: Any) -> None:
        """Put a definition in the place of the one of its name."""
        wanted = self.definition(*args, **spec)
        path = f"{self.PATH}/{wanted['metadata']['name']}"
        metadata = (await self._client.get(path)).json["metadata"]
        reply = await self._client.put(path, {**wanted, "metadata": metadata})
        assert reply.status == 200, reply.body
        await self.settle()

    async def settle(self) -> None:
        """Have names accepted, and what is deleted go."""
        await settle(self._client.api, self._client.clock)
        await self._client.api.hub.fresh()


@pytest.fixture
def custom(api: Client) -> Custom:
    """What makes custom resources for `api`."""
    return Custom(api)
