"""What browsers are told: to come by HTTPS alone, and which other origins' pages may use the server.

Source: k8s.io/apiserver/pkg/server/filters (hsts.go, cors.go).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from hyperkube_machinery.patterns import compile_pattern
from hyperkube_machinery.serving.messages import Answer, Handler, Request, Response

__all__ = ["BrowserHeaders"]

_ALLOWED = (
    ("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE, PATCH"),
    (
        "Access-Control-Allow-Headers",
        "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, "
        "If-Modified-Since",
    ),
    ("Access-Control-Expose-Headers", "Date"),
    ("Access-Control-Allow-Credentials", "true"),
)


class BrowserHeaders:
    """Puts the headers on the answers of another handler."""

    def __init__(self, handler: Handler, *, directives: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        """`origins` are patterns of the origins whose pages may use the server."""
        self._handler = handler
        self._always = [("Strict-Transport-Security", "; ".join(directives))] if directives else []
        self._origins = [compile_pattern(pattern) for pattern in origins]

    def __call__(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer as the other handler does."""
        headers = [*self._always, *self._shared(request.headers.get("origin", ""))]
        if len(headers) > len(self._always) and request.method == "OPTIONS":
            return Response(204, headers=headers)
        answer = self._handler(request)
        return _later(answer, headers) if isinstance(answer, Awaitable) else _dressed(answer, headers)

    def _shared(self, origin: str) -> list[tuple[str, str]]:
        if not origin or not any(pattern.search(origin) for pattern in self._origins):
            return []
        return [("Access-Control-Allow-Origin", origin), *_ALLOWED]


async def _later(answer: Awaitable[Answer], headers: list[tuple[str, str]]) -> Answer:
    return _dressed(await answer, headers)


def _dressed(answer: Answer, headers: list[tuple[str, str]]) -> Answer:
    answer.headers = [*answer.headers, *headers]
    return answer
