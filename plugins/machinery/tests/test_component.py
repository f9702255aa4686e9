"""What servers beside the API server show, and to whom."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from hyperkube_machinery import tls
from hyperkube_machinery.client import Client, LocalServer, RawResponse, Unreachable, connect
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.component import Component, Serving, showing
from hyperkube_machinery.delegation import Decision, DelegatedAuthenticator, DelegatedAuthorizer, open_path
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.kubeconfig import Access
from hyperkube_machinery.serving.messages import Answer, Request, Response
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

ADDRESS = "https://api"


class Reviewer:
    """An API server that knows one token and lets some users read the metrics."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.failures: list[Exception] = []
        self.config_map: dict[str, Any] | None = None
        self.local = LocalServer(ADDRESS, self, lambda certificate, key: b"")

    def __call__(self, request: Request) -> Answer:
        if request.method == "GET":
            return self._config_maps(request)
        if self.failures:
            raise self.failures.pop(0)
        review = self._json(request)
        self.asked.append(review)
        return Response(201, encode({**review, "status": self._status(review["kind"], review["spec"])}))

    @staticmethod
    def _json(request: Request) -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads(request.body)
        return document

    def _status(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        if kind == "TokenReview":
            if spec["token"] != "good":
                return {"authenticated": False, "error": "invalid bearer token"}
            user = {"username": "jane", "uid": "7", "groups": ["readers"], "extra": {"scopes": ["a"]}}
            return {"authenticated": True, "user": user, "audiences": ["api"]}
        return {"allowed": "readers" in spec["groups"], "reason": "because"}

    def _config_maps(self, request: Request) -> Answer:
        if "watch=true" in request.query:
            raise APIError.of(422, "Invalid", "no streaming lists")
        items = [self.config_map] if self.config_map else []
        return Response(200, encode({"metadata": {"resourceVersion": "1"}, "items": items}))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def reviewer() -> Reviewer:
    return Reviewer()


@pytest.fixture
async def client(reviewer: Reviewer, clock: VirtualClock) -> AsyncIterator[Client]:
    async with connect(Access(server=ADDRESS), clock=clock, user_agent="t", local=reviewer.local) as client:
        yield client


class FakeConnection:
    def __init__(self, certificate: bytes | None = None) -> None:
        self.peer_certificate = certificate
        self.peer_chain = () if certificate is None else (certificate,)
        self.peer_address = "127.0.0.1"
        self.state: dict[str, Any] = {}


def request(headers: dict[str, str] | None = None, certificate: bytes | None = None) -> Request:
    return Request("GET", "/metrics", "", headers or {}, b"", FakeConnection(certificate))


def bearer(token: str) -> Request:
    return request({"authorization": f"Bearer {token}"})


JANE = Identity("jane", "7", ("readers", "system:authenticated"), {"scopes": ("a",)})


async def test_tokens_are_shown_to_the_api_server_and_its_answers_kept(
    reviewer: Reviewer, client: Client, clock: VirtualClock
) -> None:
    authenticator = DelegatedAuthenticator(client, clock, seconds=10)
    for _ in range(3):
        assert await authenticator.authenticate(bearer("good")) == JANE
        with pytest.raises(APIError, match="Unauthorized"):
            await authenticator.authenticate(bearer("bad"))
    assert [review["spec"]["token"] for review in reviewer.asked] == ["good", "bad"]
    await clock.advance(11)
    await authenticator.authenticate(bearer("good"))
    assert len(reviewer.asked) == 3


async def test_a_token_for_others_does_not_count(client: Client, clock: VirtualClock) -> None:
    assert await DelegatedAuthenticator(client, clock, audiences=["api", "x"]).authenticate(bearer("good")) == JANE
    with pytest.raises(APIError, match="Unauthorized"):
        await DelegatedAuthenticator(client, clock, audiences=["kubelet"]).authenticate(bearer("good"))


async def test_who_shows_nothing_is_anonymous_where_that_may_be(client: Client, clock: VirtualClock) -> None:
    nobody = await DelegatedAuthenticator(client, clock).authenticate(request())
    assert (nobody.name, nobody.groups) == ("system:anonymous", ("system:unauthenticated",))
    with pytest.raises(APIError, match="Unauthorized"):
        await DelegatedAuthenticator(client, clock, anonymous=False).authenticate(request())


async def test_certificates_are_read_here_and_must_be_valid(
    reviewer: Reviewer, client: Client, clock: VirtualClock
) -> None:
    authenticator = DelegatedAuthenticator(client, clock)
    ca = tls.create_ca("ca", now=clock.now())
    pair = tls.issue_client_certificate(ca, "jane", ["readers"], now=clock.now())
    der = ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode())
    jane = await authenticator.authenticate(request(certificate=der))
    assert (jane.name, jane.groups) == ("jane", ("readers", "system:authenticated"))
    assert reviewer.asked == []
    await clock.advance(400 * 86400)
    with pytest.raises(APIError, match="Unauthorized"):
        await authenticator.authenticate(request(certificate=der))


async def test_a_token_that_cannot_be_shown_does_not_count_and_is_not_remembered(
    reviewer: Reviewer, client: Client, clock: VirtualClock
) -> None:
    authenticator = DelegatedAuthenticator(client, clock)
    reviewer.failures = [APIError.of(403, "Forbidden", "who are you?")]
    with pytest.raises(APIError, match="Unauthorized"):
        await authenticator.authenticate(bearer("good"))
    assert await authenticator.authenticate(bearer("good")) == JANE
    assert await DelegatedAuthenticator(None, clock).authenticate(request()) is not None
    with pytest.raises(APIError, match="Unauthorized"):
        await DelegatedAuthenticator(None, clock).authenticate(bearer("good"))


METRICS = {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}


async def test_the_api_server_says_who_may_and_its_answers_are_kept(
    reviewer: Reviewer, client: Client, clock: VirtualClock
) -> None:
    authorizer = DelegatedAuthorizer(client, clock, allowed_seconds=10, denied_seconds=5)
    joe = Identity("joe")
    for _ in range(2):
        assert await authorizer.authorize(JANE, METRICS) == Decision(True, "because")
        assert await authorizer.authorize(joe, METRICS) == Decision(False, "because")
    assert [review["spec"] for review in reviewer.asked] == [
        {
            "user": "jane",
            "uid": "7",
            "groups": ["readers", "system:authenticated"],
            "extra": {"scopes": ["a"]},
            "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
        },
        {"user": "joe", "uid": "", "groups": [], "extra": {}, **METRICS},
    ]
    await clock.advance(6)
    await authorizer.authorize(JANE, METRICS)
    await authorizer.authorize(joe, METRICS)
    assert len(reviewer.asked) == 3


async def test_some_are_always_let_in(reviewer: Reviewer, client: Client, clock: VirtualClock) -> None:
    authorizer = DelegatedAuthorizer(client, clock)
    assert (await authorizer.authorize(Identity("x", groups=("system:masters",)), METRICS)).allowed
    assert (await authorizer.authorize(Identity("x"), {"nonResourceAttributes": {"path": "/healthz"}})).allowed
    assert reviewer.asked == []
    assert not (await DelegatedAuthorizer(None, clock).authorize(JANE, METRICS)).allowed


async def test_what_may_pass_is_tried_again(reviewer: Reviewer, client: Client, clock: VirtualClock) -> None:
    authorizer = DelegatedAuthorizer(client, clock)
    reviewer.failures = [Unreachable("gone"), APIError.of(500, "InternalError", "oh")]
    task = asyncio.create_task(authorizer.authorize(JANE, METRICS))
    await clock.advance(5)
    assert (await task).allowed
    reviewer.failures = [Unreachable("gone")] * 5
    task = asyncio.create_task(authorizer.authorize(Identity("other"), METRICS))
    await clock.advance(60)
    with pytest.raises(Unreachable):
        await task


@pytest.mark.parametrize(
    ("path", "always", "expected"),
    [
        ("/healthz", ["/healthz"], True),
        ("/healthz", ["healthz"], True),
        ("/healthz/ping", ["/healthz"], False),
        ("/healthz/ping", ["/healthz/*"], True),
        ("/healthzz", ["/healthz*"], True),
        ("/", ["/*"], True),
        ("/metrics", [], False),
    ],
)
def test_which_paths_are_open(path: str, always: list[str], expected: bool) -> None:
    assert open_path(path, always) is expected


@pytest.fixture(scope="module")
def ca() -> tls.KeyPair:
    return tls.create_ca("cluster", now=SystemClock().now())


class Shown:
    """A component, and clients of it."""

    def __init__(self, component: Component, stack: AsyncExitStack, ca: tls.KeyPair) -> None:
        self.component = component
        self._stack = stack
        self._ca = ca

    async def ask(self, path: str, *, groups: list[str] | None = None, token: str = "") -> RawResponse:
        """As a user with a certificate where `groups` are given."""
        server = f"https://127.0.0.1:{self.component.port}"
        access = Access(server=server, insecure=True, token=token)
        if groups is not None:
            pair = tls.issue_client_certificate(self._ca, "joe", groups, now=SystemClock().now())
            access = Access(server=server, insecure=True, certificate_pem=pair.certificate_pem, key_pem=pair.key_pem)
        client = await self._stack.enter_async_context(connect(access, clock=SystemClock(), user_agent="t"))
        return await client.raw("GET", path)


@pytest.fixture
async def shown(reviewer: Reviewer, ca: tls.KeyPair) -> AsyncIterator[Shown]:
    clock = SystemClock()
    registry = Registry()
    registry.counter("things_total", "Things.").labels().inc(3)

    async def failing() -> None:
        raise RuntimeError("secret reason")

    async def page(request: Request) -> Answer:
        return Response(200, b"a page")

    reviewer.config_map = {
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": "1"},
        "data": {"client-ca-file": ca.certificate_pem.decode()},
    }
    async with AsyncExitStack() as stack:
        access = Access(server=ADDRESS)
        client = await stack.enter_async_context(connect(access, clock=clock, user_agent="t", local=reviewer.local))
        component = await stack.enter_async_context(
            showing(
                Serving(),
                clock=clock,
                client=client,
                registry=registry,
                checks={"readyz": {"failing": failing}},
                config={"example": {"kind": "ExampleConfiguration"}},
                pages={"/page": page},
            )
        )
        yield Shown(component, stack, ca)


async def test_health_is_for_everybody_and_the_rest_for_who_may(shown: Shown) -> None:
    assert (await shown.ask("/healthz")).body == b"ok"
    assert (await shown.ask("/livez")).status == 200
    refused = await shown.ask("/metrics")
    assert refused.status == 403
    assert b'forbidden: User \\"system:anonymous\\" cannot get path \\"/metrics\\": because' in refused.body
    assert (await shown.ask("/metrics", token="bad")).status == 401
    told = await shown.ask("/metrics", token="good")
    assert (told.status, b"things_total 3\n" in told.body) == (200, True)
    assert (await shown.ask("/configz", token="good")).body == b'{"example":{"kind":"ExampleConfiguration"}}'
    assert (await shown.ask("/page", token="good")).body == b"a page"
    assert (await shown.ask("/none", token="good")).body == b"404 page not found\n"


async def test_a_check_that_fails_is_told_without_its_reason(shown: Shown) -> None:
    answer = await shown.ask("/readyz")
    assert answer.status == 500
    assert b"[-]failing failed: reason withheld" in answer.body
    assert b"secret" not in answer.body
    assert (
        b'kubernetes_healthcheck{name="failing",type="readyz"} 0'
        in (await shown.ask("/metrics/slis", token="good")).body
    )


async def test_what_it_was_configured_to_do_can_change(shown: Shown) -> None:
    shown.component.configure("example", {"kind": "Other"})
    assert (await shown.ask("/configz", token="good")).body == b'{"example":{"kind":"Other"}}'


async def test_certificates_of_the_clusters_authority_are_believed_once_it_is_known(shown: Shown) -> None:
    status = 0

    async def told() -> int:
        return (await shown.ask("/metrics", groups=["readers"])).status

    for _ in range(100):
        status = await told()
        if status == 200:
            break
    assert status == 200
    assert (await shown.ask("/metrics", groups=["others"])).status == 403
    assert (await shown.ask("/metrics", groups=["system:masters"])).status == 200


async def test_given_certificates_are_used(ca: tls.KeyPair, tmp_path: Path) -> None:
    now = SystemClock().now()
    tls.save(
        tls.issue_serving_certificate(ca, "me", ["127.0.0.1"], now=now), tmp_path / "tls.crt", tmp_path / "tls.key"
    )
    (tmp_path / "ca.crt").write_bytes(ca.certificate_pem)
    serving = Serving(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key", client_ca=tmp_path / "ca.crt")
    async with showing(serving, clock=SystemClock(), client=None, registry=Registry()) as component:
        pair = tls.issue_client_certificate(ca, "root", ["system:masters"], now=now)
        access = Access(
            server=f"https://127.0.0.1:{component.port}",
            ca_pem=ca.certificate_pem,
            certificate_pem=pair.certificate_pem,
            key_pem=pair.key_pem,
        )
        async with connect(access, clock=SystemClock(), user_agent="t") as client:
            assert (await client.raw("GET", "/metrics")).status == 200
