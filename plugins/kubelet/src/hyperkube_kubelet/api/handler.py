"""Answers requests to the kubelet's API, once it is known who asks and that he may.

    /containerLogs/NAMESPACE/POD/CONTAINER           /exec/NAMESPACE/POD/CONTAINER?command=…
    /pods   /runningpods/   /healthz   /metrics      /attach/NAMESPACE/POD/CONTAINER
                                                     /portForward/NAMESPACE/POD[/UID]

Source: k8s.io/kubernetes/pkg/kubelet/server/server.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs

from hyperkube_kubelet.api.logchoice import NoLog, chosen_container
from hyperkube_kubelet.api.logs import LogOptions, LogQueryError, read_log
from hyperkube_kubelet.api.permissions import Asked, asked
from hyperkube_kubelet.api.portforward import Target
from hyperkube_kubelet.api.streaming import Streaming
from hyperkube_kubelet.podspec import container_named, status_of
from hyperkube_kubelet.runtime.errors import NotFound, RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import ContainerState, SandboxState
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.serving.messages import Answer, BodyWriter, Request, Response, StreamingResponse
from hyperkube_machinery.streaming.sessions import Streams, StreamsError

__all__ = ["KubeletAPI", "Pods", "ReadOnlyAPI"]

Tree = Mapping[str, Any]
Query = Mapping[str, Sequence[str]]
_TEXT = "text/plain; charset=utf-8"


class Pods(Protocol):
    """The pods of this node, each with its status as this kubelet knows it."""

    def pod_named(self, namespace: str, name: str) -> Tree | None: ...

    def pods(self) -> Sequence[Tree]: ...


class ReadOnlyAPI:
    """The handler of what everybody may read, where there is a port for it."""

    def __init__(self, pods: Pods, other: Callable[[Request], Awaitable[Answer | None]]) -> None:
        self._pods = pods
        self._other = other

    async def __call__(self, request: Request) -> Answer:
        if request.path.rstrip("/") == "/pods" and request.method == "GET":
            return _listing(self._pods.pods())
        return await self._other(request) or Response(404, b"404 page not found\n", _TEXT)


class KubeletAPI:
    """The handler of the kubelet's HTTPS server. `close` ends the streams that it began."""

    def __init__(
        self,
        pods: Pods,
        runtime: Runtime,
        clock: Clock,
        *,
        check: Callable[[Request, Asked], Awaitable[None]],
        other: Callable[[Request], Awaitable[Answer | None]],
        idle_seconds: float = 0.0,
    ) -> None:
        """`check` raises APIError for who may not; `other` answers paths of its own: health, metrics.

        `idle_seconds`: how long streams may lie still, 0 for as long as they like.
        """
        self._pods = pods
        self._runtime = runtime
        self._clock = clock
        self._check = check
        self._other = other
        self._streaming = Streaming(clock, idle_seconds=idle_seconds)

    async def close(self) -> None:
        await self._streaming.close()

    async def __call__(self, request: Request) -> Answer:
        try:
            await self._check(request, asked(request.method, request.path))
            return await self._answer(request)
        except APIError as exc:
            # In plain text, as all kubelets. Where streams are asked for, there must be no ": " in it: kubectl would
            # take it for YAML, and the YAML for a Status without a message.
            return Response(exc.code, str(exc).encode(), _TEXT, exc.headers)

    async def _answer(self, request: Request) -> Answer:
        answer = await self._other(request)
        if answer is not None:
            return answer
        query = parse_qs(request.query, keep_blank_values=True)
        match request.path.strip("/").split("/"):
            case ["pods"]:
                return _listing(self._pods.pods())
            case ["runningpods"]:
                return await self._running()
            case ["containerLogs", namespace, pod, container]:
                return await self._logs(self._container(namespace, pod, container), container, query)
            case ["exec", namespace, pod, *rest] if len(rest) in (1, 2):
                command = query.get("command", [])
                if not command:
                    raise APIError.bad_request("you must specify a command")
                container_id = self._running_container(self._container(namespace, pod, rest[-1]), rest[-1])
                streams = _streams(query)
                return self._streaming.command(
                    request,
                    lambda: self._runtime.exec(container_id, command, tty=streams.tty, stdin=streams.stdin),
                    streams,
                )
            case ["attach", namespace, pod, *rest] if len(rest) in (1, 2):
                pod_found = self._container(namespace, pod, rest[-1])
                container_id = self._running_container(pod_found, rest[-1])
                streams = _streams(query)
                tty = bool((container_named(pod_found, rest[-1]) or {}).get("tty"))
                return self._streaming.command(
                    request,
                    lambda: self._runtime.attach(container_id, tty=tty, stdin=streams.stdin),
                    streams,
                    attached=True,
                )
            case ["portForward", namespace, name, *rest] if len(rest) < 2:
                pod_found = self._pod(namespace, name)
                if rest and rest[0] != pod_found["metadata"].get("uid"):
                    raise APIError.of(404, "NotFound", f"pod {quoted(name)} does not exist")
                return self._streaming.forward(request, query, await self._target(pod_found))
        raise APIError.of(404, "NotFound", "404 page not found")

    def _pod(self, namespace: str, name: str) -> Tree:
        """Raises APIError 404."""
        pod = self._pods.pod_named(namespace, name)
        if pod is None:
            raise APIError.of(404, "NotFound", f"pod {quoted(name)} does not exist")
        return pod

    def _container(self, namespace: str, name: str, container: str) -> Tree:
        """The pod that has a container of that name. Raises APIError 404."""
        pod = self._pod(namespace, name)
        if container_named(pod, container) is None:
            raise APIError.of(404, "NotFound", f"container {quoted(container)} not found in pod {quoted(name)}")
        return pod

    def _running_container(self, pod: Tree, container: str) -> str:
        name = pod["metadata"]["name"]
        try:
            return chosen_container(name, status_of(pod), container, previous=False)
        except NoLog:
            raise APIError.of(404, "NotFound", f"container not found ({quoted(container)})") from None

    async def _running(self) -> Response:
        running = {
            container.sandbox_id
            for container in await self._runtime.containers()
            if container.state is ContainerState.RUNNING
        }
        uids = {sandbox.config.uid for sandbox in await self._runtime.sandboxes() if sandbox.id in running}
        return _listing([pod for pod in self._pods.pods() if pod["metadata"].get("uid") in uids])

    async def _logs(self, pod: Tree, container: str, query: Query) -> Answer:
        try:
            options = LogOptions.of(query, self._clock.now())
        except LogQueryError as exc:
            raise APIError.bad_request(str(exc)) from exc
        try:
            chosen = chosen_container(pod["metadata"]["name"], status_of(pod), container, previous=options.previous)
            found = await self._runtime.container(chosen)
        except (NoLog, RuntimeFailure) as exc:
            raise APIError.bad_request(str(exc)) from exc
        path = found.log_path
        if path is None:
            raise APIError.bad_request(f"container {quoted(container)} keeps no log")

        async def runs() -> bool:
            try:
                return (await self._runtime.container(chosen)).state is ContainerState.RUNNING
            except NotFound:
                return False

        async def produce(body: BodyWriter) -> None:
            async for piece in read_log(path, options, self._clock, runs):
                body.send(piece)
                await body.drain()

        return StreamingResponse(produce, 200, "text/plain")

    async def _target(self, pod: Tree) -> Target:
        """What forwards to ports of a pod. Raises APIError 500 where it has no sandbox."""
        name, uid = pod["metadata"]["name"], pod["metadata"].get("uid", "")
        sandboxes = await self._runtime.sandboxes()
        ready = (one.id for one in sandboxes if one.config.uid == uid and one.state is SandboxState.READY)
        sandbox_id = next(ready, None)
        if sandbox_id is None:
            raise APIError.of(500, "InternalError", f"pod {quoted(name)} has no sandbox that is ready")
        return Target(name, uid, lambda port: self._runtime.dial(sandbox_id, port))


def _listing(pods: Sequence[Tree]) -> Response:
    return Response(200, encode({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(pods)}))


def _streams(query: Query) -> Streams:
    try:
        return Streams.of(query)
    except StreamsError as exc:
        raise APIError.bad_request(str(exc)) from exc
