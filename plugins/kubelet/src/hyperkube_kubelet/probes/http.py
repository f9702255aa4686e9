"""HTTP requests to containers, for probes and hooks. Source: k8s.io/kubernetes/pkg/probe/http."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache
from urllib.parse import urljoin, urlsplit

from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.probes.ports import port_number
from hyperkube_machinery.exchange import Exchange, ExchangeError, Peer, exchange, failure_text
from hyperkube_machinery.podnetwork import PodNetwork

__all__ = ["Answer", "HTTPFailure", "ask", "speaks_no_tls"]

LONGEST_BODY = 10 << 10
MOST_REDIRECTS = 10
VERSION = "1.36"
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


class HTTPFailure(Exception):
    """There was no answer; the text is in Go's words."""


def speaks_no_tls(failure: HTTPFailure) -> bool:
    """Whether a request by TLS failed because plain HTTP came back."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return cause.reason in _NO_TLS
        cause = cause.__cause__
    return False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back in the end."""

    status: int
    body: str  # its beginning


@cache
def _trusting() -> ssl.SSLContext:
    """Certificates of containers are not checked, as upstream has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def ask(network: PodNetwork, action: Tree, container: Tree, pod_ip: str, purpose: str) -> Answer:
    """GET what an `httpGet` says, following redirects within its host. Raises HTTPFailure, ValueError."""
    host, port = action.get("host") or pod_ip, port_number(action["port"], container)
    scheme = str(action.get("scheme") or "HTTP").lower()
    path = action.get("path") or "/"
    url = f"{scheme}://{_authority(host, port)}{path if path.startswith('/') else '/' + path}"
    begun = url
    for _ in range(MOST_REDIRECTS):
        answer = await _get(network, url, _headers(action, url, purpose))
        try:
            body = (await answer.body(LONGEST_BODY)).decode("utf-8", "replace")
        except ExchangeError as exc:
            raise HTTPFailure(str(exc)) from exc
        finally:
            answer.close()
        location = answer.header("location")
        if not (300 <= answer.status < 400 and location):
            return Answer(answer.status, body)
        following = urljoin(url, location)
        if urlsplit(following).hostname != urlsplit(begun).hostname:
            return Answer(answer.status, body)
        url = following
    raise HTTPFailure(f'Get "{url}": stopped after {MOST_REDIRECTS} redirects')


async def _get(network: PodNetwork, url: str, headers: list[tuple[str, str]]) -> Exchange:
    parts = urlsplit(url)
    host = parts.hostname or ""
    peer = Peer(
        host, parts.port or (443 if parts.scheme == "https" else 80), _trusting() if parts.scheme == "https" else None
    )
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    try:
        connected = await network.dial(peer.host, peer.port)
    except OSError as exc:
        raise HTTPFailure(f'Get "{url}": {failure_text(peer, exc)}') from exc
    try:
        return await exchange(peer, "GET", target, headers, connected=connected)
    except ExchangeError as exc:
        connected.close()
        raise HTTPFailure(f'Get "{url}": {exc}') from exc


def _headers(action: Tree, url: str, purpose: str) -> list[tuple[str, str]]:
    given = [(header["name"], header.get("value") or "") for header in action.get("httpHeaders") or ()]
    names = {name.lower() for name, _ in given}
    headers = [(name, value) for name, value in given if value or name.lower() not in ("accept", "host")]
    if "host" not in {name.lower() for name, _ in headers}:
        headers.insert(0, ("Host", urlsplit(url).netloc))
    if "user-agent" not in names:
        headers.append(("User-Agent", f"kube-{purpose}/{VERSION}"))
    if "accept" not in names:
        headers.append(("Accept", "*/*"))
    headers.append(("Connection", "close"))
    return headers


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
