"""Reading a repository of a registry: manifests by name, blobs by digest.

Source: the OCI distribution specification. Failures are told in containerd's words, which tools know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urljoin, urlsplit

from hyperkube_kubelet.images.authentication import Challenge, basic, challenges, token_in, token_target
from hyperkube_kubelet.images.errors import InvalidRegistries, PullFailed, Unreachable
from hyperkube_kubelet.images.registries import Endpoint, Registries, peer_of
from hyperkube_kubelet.runtime.values import Credentials
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.exchange import Exchange, ExchangeError, Peer, exchange
from hyperkube_machinery.quoting import quoted

__all__ = ["ANSWER_SECONDS", "Repository"]

ANSWER_SECONDS = 60.0
"""How long a registry may take to begin an answer, or to go on with one: an image's pull has no limit but progress."""

_MANIFESTS = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "*/*",
    ]
)
_MOST_MANIFEST = 4 << 20
_MOST_TOKEN = 1 << 20
_MOST_REDIRECTS = 5
_MOST_SAID = 1 << 10
_MOVED = (301, 302, 303, 307, 308)
_LATER = (408, 429, 500, 502, 503, 504)

Headers = Mapping[str, str]


class Repository:
    """One repository, at one of its registry's places."""

    def __init__(
        self, registries: Registries, endpoint: Endpoint, path: str, credentials: Credentials | None, clock: Clock
    ) -> None:
        self._registries, self._endpoint, self._path = registries, endpoint, path
        self._credentials = credentials
        self._clock = clock
        token = credentials.registry_token if credentials is not None else ""
        self._authorization = f"Bearer {token}" if token else ""
        self._tried = bool(token)  # there is nothing else to be shown

    async def manifest(self, reference: str) -> tuple[bytes, str]:
        """The document that a tag or digest names, and the digest that the registry says it has ("": it doesn't).

        Raises PullFailed, and Unreachable where another place of the registry may know.
        """
        async with self._got(f"manifests/{reference}", {"Accept": _MANIFESTS}) as answer:
            if answer.status == 404:
                raise PullFailed("not found")
            await self._check(answer, "manifests")
            body = await self._body(answer, _MOST_MANIFEST + 1)
            if len(body) > _MOST_MANIFEST:
                raise PullFailed(f"a manifest is longer than {_MOST_MANIFEST} bytes")
            return body, answer.header("docker-content-digest")

    @asynccontextmanager
    async def blob(self, digest: str, offset: int) -> AsyncIterator[tuple[Exchange, int]]:
        """A blob's bytes for the length of the block, and where they begin: at `offset` unless the registry can't.

        Raises PullFailed.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._got(f"blobs/{digest}", headers) as answer:
            if answer.status == 404:
                raise PullFailed(f"content at {self._url(f'blobs/{digest}')} not found: not found")
            if offset and answer.status == 416:
                raise Unreachable("the registry has less of a blob than it sent before")
            await self._check(answer, "blobs")
            partial = answer.status == 206 and answer.header("content-range").startswith(f"bytes {offset}-")
            if answer.status == 206 and not partial:
                raise Unreachable(f"the registry sent another range than it was asked for: {digest}")
            yield answer, offset if partial else 0

    def _url(self, rest: str) -> str:
        mirrored = f"?ns={self._endpoint.namespace}" if self._endpoint.namespace else ""
        return f"{self._endpoint.url}/{self._path}/{rest}{mirrored}"

    @asynccontextmanager
    async def _got(self, rest: str, headers: Headers) -> AsyncIterator[Exchange]:
        """The answer to a GET for the length of the block, whoever is challenged and wherever it leads."""
        url = self._url(rest)
        peer, target = self._endpoint.peer, url[len(self._endpoint.url) - len(self._endpoint.prefix) :]
        answer = await self._ask(peer, target, url, headers)
        try:
            if answer.status == 401:
                asked = challenges(value for name, value in answer.headers if name.lower() == "www-authenticate")
                answer.close()
                self._authorization = await self._authorize(asked)
                answer = await self._ask(peer, target, url, headers)
            redirects = 0
            while answer.status in _MOVED and (place := answer.header("location")):
                answer.close()
                if (redirects := redirects + 1) > _MOST_REDIRECTS:
                    raise PullFailed(f"failed to do request: Get {quoted(url)}: stopped after {redirects} redirects")
                url = urljoin(url, place)
                answer = await self._follow(url, headers)
            yield answer
        finally:
            answer.close()

    async def _follow(self, url: str, headers: Headers) -> Exchange:
        """Elsewhere nobody is told who asks, unless it is the same registry."""
        try:
            peer, target = peer_of(url, self._registries.tls)
        except InvalidRegistries as exc:
            raise PullFailed(f"the registry sends elsewhere: {exc}") from exc
        own = (peer.host, peer.port, peer.scheme) == (
            self._endpoint.peer.host,
            self._endpoint.peer.port,
            self._endpoint.peer.scheme,
        )
        return await self._ask(self._endpoint.peer if own else peer, target or "/", url, headers, authorized=own)

    async def _ask(self, peer: Peer, target: str, url: str, headers: Headers, *, authorized: bool = True) -> Exchange:
        own = {"Authorization": self._authorization} if authorized and self._authorization else {}
        return await self._send(peer, "GET", target, url, {**headers, **own})

    async def _send(
        self, peer: Peer, method: str, target: str, url: str, headers: Headers, body: bytes = b""
    ) -> Exchange:
        default = peer.port == (443 if peer.tls else 80)
        host = peer.authority.rpartition(":")[0] if default else peer.authority  # signed URLs are signed with it
        sent = [("Host", host), ("User-Agent", "hk"), ("Connection", "close"), *headers.items()]
        try:
            return await within(self._clock, ANSWER_SECONDS, exchange(peer, method, target, sent, body))
        except ExchangeError as exc:
            raise Unreachable(f"failed to do request: {method.title()} {quoted(url)}: {exc}") from exc
        except TimeoutError as exc:
            raise Unreachable(
                f"failed to do request: {method.title()} {quoted(url)}: no answer within {ANSWER_SECONDS:g} seconds"
            ) from exc

    async def _authorize(self, asked: Sequence[Challenge]) -> str:
        """What is to be shown. Raises PullFailed."""
        if self._tried or self._authorization.startswith("Basic"):
            raise PullFailed("pull access denied, repository does not exist or may require authorization")
        known = {challenge.scheme: challenge for challenge in reversed(asked)}
        if bearer := known.get("bearer"):
            return f"Bearer {await self._token(bearer)}"
        if "basic" in known and self._credentials is not None and self._credentials.username:
            return basic(self._credentials)
        if "basic" in known:
            raise PullFailed(
                "pull access denied, repository does not exist or may require authorization: authorization failed:"
                " no basic auth credentials"
            )
        raise PullFailed(f"the registry asks in no way that is known: {', '.join(known) or 'it names none'}")

    async def _token(self, challenge: Challenge) -> str:
        realm = challenge.parameters.get("realm", "")
        method, query, body = token_target(challenge, self._path, self._credentials)
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{query}" if query else realm
        try:
            peer, target = peer_of(url, self._registries.tls)
        except InvalidRegistries as exc:
            raise PullFailed(f"failed to authorize: invalid token auth challenge realm: {exc}") from exc
        own = self._endpoint.peer
        if (peer.host, peer.port) == (own.host, own.port) and peer.tls is not None and own.tls is not None:
            peer = own  # believed by the same authorities
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        anonymous = self._credentials is None or not self._credentials.username
        if not body and not anonymous and self._credentials is not None:
            headers["Authorization"] = basic(self._credentials)
        answer = await self._send(peer, method, target or "/", url, headers, body)
        try:
            if answer.status != 200:
                what = "anonymous token" if anonymous and not body else "oauth token"
                raise PullFailed(
                    f"failed to authorize: failed to fetch {what}: unexpected status from {method} request to"
                    f" {realm}: {answer.status} {await self._said(answer)}".rstrip(": ")
                )
            return token_in(await self._body(answer, _MOST_TOKEN))
        finally:
            answer.close()

    async def _check(self, answer: Exchange, what: str) -> None:
        """Raises PullFailed unless it is what was asked for."""
        if answer.status in (200, 206):
            return
        if answer.status in (401, 403):
            raise PullFailed(
                "pull access denied, repository does not exist or may require authorization: server message:"
                f" {await self._said(answer) or answer.status}"
            )
        kind = Unreachable if answer.status in _LATER else PullFailed
        said = await self._said(answer)
        url = self._url(what)
        raise kind(f"unexpected status from GET request to {url}: {answer.status}{': ' if said else ''}{said}")

    async def _said(self, answer: Exchange) -> str:
        """The beginning of what the registry says of a failure, as one line of text."""
        try:
            text = (await self._body(answer, _MOST_SAID)).decode("utf-8", "replace")
        except PullFailed:
            return ""
        return " ".join("".join(char if char.isprintable() else " " for char in text).split())

    async def _body(self, answer: Exchange, most: int) -> bytes:
        try:
            return await within(self._clock, ANSWER_SECONDS, answer.body(most))
        except (ExchangeError, TimeoutError) as exc:
            raise Unreachable(f"failed to read a registry's answer: {exc}") from exc
