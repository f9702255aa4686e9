"""/healthz, /livez and /readyz: whether the server works, check by check.

Source: k8s.io/apiserver/pkg/server/healthz; of the metrics: k8s.io/component-base/metrics/prometheus/slis.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from hyperkube_machinery.serving.messages import Response
from hyperkube_machinery.serving.metrics import Registry

__all__ = ["TEXT", "Check", "Health"]

log = logging.getLogger(__name__)

TEXT = "text/plain; charset=utf-8"

_NOSNIFF = (("X-Content-Type-Options", "nosniff"),)

Check = Callable[[], Awaitable[None]]
"""Returns if all is well, raises what is wrong."""


class Health:
    """The three endpoints, each with its checks in order."""

    def __init__(self, checks: Mapping[str, Mapping[str, Check]], slis: Registry | None = None) -> None:
        """`slis` is where it is counted what came of the checks."""
        self._checks = checks  # "livez" -> name -> check
        slis = slis or Registry()
        self._states = slis.gauge(
            "kubernetes_healthcheck", "[STABLE] 1 if a check passed when it was last made, else 0.", ("name", "type")
        )
        self._results = slis.counter(
            "kubernetes_healthchecks_total", "[STABLE] Checks made, by their result.", ("name", "type", "status")
        )

    @property
    def paths(self) -> list[str]:
        """The paths that are answered."""
        return [
            path
            for endpoint, checks in self._checks.items()
            for path in (f"/{endpoint}", *(f"/{endpoint}/{name}" for name in checks))
        ]

    async def answer(self, path: str, query: Mapping[str, Sequence[str]]) -> Response | None:
        """The answer at `path`, or None if it is none of these endpoints."""
        endpoint, slash, name = path.removeprefix("/").partition("/")
        checks = self._checks.get(endpoint)
        if checks is None or (slash and not name):
            return None
        if name:
            check = checks.get(name)
            if check is None:
                return Response(404, b"404 page not found\n", TEXT, _NOSNIFF)
            failed = await _failure(check)
            if failed is None:
                return Response(200, b"ok", TEXT)
            return Response(500, f"internal server error: {failed}\n".encode(), TEXT, _NOSNIFF)
        return await self._all(endpoint, checks, query)

    async def _all(self, endpoint: str, checks: Mapping[str, Check], query: Mapping[str, Sequence[str]]) -> Response:
        excluded = set(query.get("exclude", ()))
        lines, failed = [], []
        for name, check in checks.items():
            if name in excluded:
                excluded.discard(name)
                lines.append(f"[+]{name} excluded: ok")
                continue
            error = await _failure(check)
            self._count(endpoint, name, passed=error is None)
            if error is None:
                lines.append(f"[+]{name} ok")
            else:
                # Reasons may tell more than a caller without rights should see; they are in the log.
                lines.append(f"[-]{name} failed: reason withheld")
                failed.append(name)
                log.warning("%s check %s failed: %s", endpoint, name, error)
        if excluded:
            quoted = ",".join(f'"{name}"' for name in sorted(excluded))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
        if failed:
            lines.append(f"{endpoint} check failed")
            return Response(500, ("\n".join(lines) + "\n").encode(), TEXT, _NOSNIFF)
        if "verbose" in query:
            lines.append(f"{endpoint} check passed")
            return Response(200, ("\n".join(lines) + "\n").encode(), TEXT, _NOSNIFF)
        return Response(200, b"ok", TEXT, _NOSNIFF)

    def _count(self, endpoint: str, name: str, *, passed: bool) -> None:
        self._states.labels(name, endpoint).set(float(passed))
        self._results.labels(name, endpoint, "success" if passed else "error").inc()


async def _failure(check: Check) -> Exception | None:
    try:
        await check()
    except Exception as exc:  # whatever is wrong is what the check is for
        return exc
    return None
