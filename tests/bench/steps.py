"""What each step of a request takes, in microseconds: `python -m tests.bench.steps`.

The whole API is called in this process, over a store in memory and without sockets, so that its own steps are all there
is; what HTTP, TLS and the disk add, the benches `serving`, `storage` and `apiserver` tell. A step is counted without
those that it calls. Each request is measured twice, bare and taken apart: the timing itself is not in the total.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from hyperkube_apiserver.access import Terms, open_access
from hyperkube_apiserver.admission.chain import Chain
from hyperkube_apiserver.assembly import Settings, assemble, follow_holdings, front_desk
from hyperkube_apiserver.authn import KeySet, StaticTokens
from hyperkube_apiserver.authn.keys import create_key
from hyperkube_apiserver.discovery import Discovery
from hyperkube_apiserver.handlers import write
from hyperkube_apiserver.handlers.nonresource import NonResource
from hyperkube_apiserver.handlers.router import Router
from hyperkube_apiserver.handlers.tokens import Issuer
from hyperkube_apiserver.openapi import OpenAPI
from hyperkube_apiserver.operations.desk import Desk
from hyperkube_apiserver.pipeline import Pipeline
from hyperkube_apiserver.populate import populate
from hyperkube_apiserver.registry import generic
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.core.pods import Pods
from hyperkube_apiserver.registry.ownership import FieldOwners
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.release import KUBERNETES
from hyperkube_machinery.serving.health import Health
from hyperkube_machinery.serving.loop import new_event_loop
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.storage.memory import MemoryStore
from tests.bench.targets import TOKEN, write_tokens
from tests.bench.workload import pod

ROUNDS = 8
CALLS = 250

STEPS: tuple[tuple[str, object, tuple[str, ...]], ...] = (
    ("metrics, limits, access log", Desk, ("receive", "authenticated", "admit", "authorized", "dismiss")),
    ("authenticate, authorize", Pipeline, ("_admitted",)),
    ("decode", write, ("read_object",)),
    ("defaults", Pods, ("default",)),
    ("owners of fields", FieldOwners, ("record",)),
    ("admission", Chain, ("admit", "validate")),
    ("metadata", object_meta, ("before_create",)),
    ("prepare", Pods, ("prepare_for_create",)),
    ("validate", Pods, ("validate",)),
    ("warnings", Pods, ("warnings",)),
    ("encode", generic, ("encode_stored",)),
    ("announce, to the watch cache", WatchCache, ("announce",)),
    ("publish, to watchers", WatchCache, ("apply",)),
)
"""Name, and the functions that make up the step; one that is gone fails the bench."""


class Steps:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds = {name: 0.0 for name, _, _ in STEPS}
        self._inner = [0.0]  # of what the running steps have called, the innermost last

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Count them for the length of the block."""
        with ExitStack() as block:
            for name, owner, functions in STEPS:
                for function in functions:
                    block.enter_context(_replaced(owner, function, functools.partial(self._timed, name)))
            yield

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            async def timed_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self._counted(name):
                    return await function(*args, **kwargs)

            return timed_coroutine

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self._counted(name):
                return function(*args, **kwargs)

        return timed

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self.seconds[name] += took - self._inner.pop()
            self._inner[-1] += took


@contextmanager
def _replaced(owner: object, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, wrap(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


class _Connection:
    peer_certificate = None
    peer_chain: Sequence[bytes] = ()
    peer_address = "127.0.0.1"

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}


@asynccontextmanager
async def _api(tokens: Path) -> AsyncIterator[Callable[[Request], Awaitable[Response]]]:
    clock, key = SystemClock(), create_key()
    settings = Settings()
    async with MemoryStore.open(clock=clock) as store:
        api = assemble(store, clock, settings)
        async with api.hub.running(api.addresses.keep):
            follow_holdings(api)
            await populate(api, clock, settings, secure_port=6443)
            issuer = Issuer(name="bench", key=key, audiences=("bench",))
            static = StaticTokens.load(write_tokens(tokens))
            access = open_access(api, clock, Terms(issuer=issuer, keys=KeySet([key.public]), static=static))
            pipeline = Pipeline(
                access.authenticator,
                access.authorizer,
                access.escalation,
                Router(api.offering, access.handlers, api.hub, clock, shortest_watch_seconds=1800),
                NonResource(
                    Discovery(api.offering, "127.0.0.1:6443"), OpenAPI(api.offering, KUBERNETES, clock), Health({})
                ),
                desk=front_desk(api, clock),
                clock=clock,
                longest_seconds=60,
            )

            async def answer(request: Request) -> Response:
                found = pipeline(request)
                response = await found if isinstance(found, Awaitable) else found
                assert isinstance(response, Response)
                assert response.status < 300, response.body
                return response

            yield answer


Answer = Callable[[Request], Awaitable[Response]]


def _request(method: str, path: str, body: bytes, connection: _Connection) -> Request:
    head = {
        "host": "127.0.0.1",
        "user-agent": "bench/v1 (linux/amd64)",
        "accept": "application/json",
        "content-type": "application/json",
        "authorization": f"Bearer {TOKEN}",
    }
    return Request(method, path, "", head, body, connection)


async def _seconds(answer: Answer, requests: Iterator[Request]) -> float:
    """What one request takes, in the quickest of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        asked = [next(requests) for _ in range(CALLS)]
        gc.collect()
        began = time.perf_counter()
        for request in asked:
            await answer(request)
        rounds.append((time.perf_counter() - began) / CALLS)
    return min(rounds)


async def _take_apart(what: str, answer: Answer, requests: Iterator[Request]) -> None:
    total = await _seconds(answer, requests)
    quickest = {name: float("inf") for name, _, _ in STEPS}
    for _ in range(ROUNDS):
        steps = Steps()
        with steps.taken():
            for _ in range(CALLS):
                await answer(next(requests))
        quickest = {name: min(quickest[name], steps.seconds[name] / CALLS) for name in quickest}
    print(f"{what}: {total * 1e6:.1f} µs")
    for name, seconds in quickest.items():
        if seconds:
            print(f"    {name:<32} {seconds * 1e6:7.1f} µs  {seconds / total:6.1%}")
    rest = total - sum(quickest.values())
    print(f"    {'route, write path, store, answer':<32} {rest * 1e6:7.1f} µs  {rest / total:6.1%}", flush=True)


async def _main() -> None:
    connection = _Connection()
    pods = "/api/v1/namespaces/default/pods"
    with tempfile.TemporaryDirectory(prefix="hk-bench-") as folder:
        async with _api(Path(folder) / "tokens.csv") as answer:
            account = b'{"metadata":{"name":"default"}}'
            await answer(_request("POST", "/api/v1/namespaces/default/serviceaccounts", account, connection))
            creations = (_request("POST", pods, pod(f"web-{number}"), connection) for number in count())
            await _take_apart("create a pod, of a template, with the token of its account", answer, creations)
            read = _request("GET", f"{pods}/web-0", b"", connection)
            await _take_apart("get a pod", answer, (read for _ in count()))


def main() -> int:
    """Print the steps."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_main())
    return 0


if __name__ == "__main__":
    sys.exit(main())
