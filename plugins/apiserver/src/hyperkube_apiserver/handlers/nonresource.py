"""What is served beside resources: discovery, OpenAPI, health, metrics, the version, and an index of it all."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence

from hyperkube_apiserver.discovery import Discovery
from hyperkube_apiserver.openapi import OpenAPI
from hyperkube_apiserver.requestinfo import Query
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.release import KUBERNETES
from hyperkube_machinery.serving.exposition import exposed
from hyperkube_machinery.serving.health import TEXT, Health
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.serving.metrics import Registry

__all__ = ["NonResource"]


class NonResource:
    """Answers paths that are no resources'."""

    def __init__(
        self,
        discovery: Discovery,
        openapi: OpenAPI,
        health: Health,
        metrics: Mapping[str, Registry] | None = None,
        documents: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> None:
        """`metrics` are the registries that are told of, `documents` other content types and bodies, by path."""
        self._metrics = metrics or {}
        self._documents = documents or {}
        self._discovery = discovery
        self._openapi = openapi
        self._health = health
        self._version = encode(_version())

    async def answer(self, request: Request, query: Query) -> Response:
        """The answer to `request`; what is not there is 404 in plain text."""
        path = request.path
        # Nothing else may have a slash behind it, for who may read `/metrics/*` must not have what is at `/metrics`.
        slashless = path.removesuffix("/") or path
        document = self._discovery.answer(request, slashless)
        if document is not None:
            if request.method != "GET" and not _answers_any_method(slashless):
                raise APIError.method_not_allowed()
            return document
        if slashless == "/version":
            if request.method != "GET":
                raise APIError.method_not_allowed()
            return Response(200, self._version)
        if path == "/":
            paths = _paths(self._discovery, self._openapi, self._health, [*self._metrics, *self._documents])
            return Response(200, encode({"paths": paths}))
        if path in self._documents:
            return self._kept(request, path)
        if path in self._metrics:
            return await exposed(self._metrics[path], request)
        answer = await self._openapi.answer(request, query) or await self._health.answer(path, query)
        if answer is None and self._discovery.knows_group_of(path):
            raise APIError.no_such_path()
        return answer or not_found()

    def _kept(self, request: Request, path: str) -> Response:
        """A document that clients may keep for an hour."""
        if request.method != "GET":
            raise APIError.method_not_allowed()
        content_type, body = self._documents[path]
        return Response(200, body, content_type, (("Cache-Control", "public, max-age=3600"),))


def not_found() -> Response:
    """The answer for a path that nothing is served at."""
    return Response(404, b"404 page not found\n", TEXT, (("X-Content-Type-Options", "nosniff"),))


def _answers_any_method(path: str) -> bool:
    """Whether a path of discovery is upstream's aggregator's: its handlers don't look at the method.

    Groups are, except for its own; versions and the root of core are not.
    """
    return path == "/apis" or (path.count("/") == 2 and path not in ("/api/v1", "/apis/apiregistration.k8s.io"))


def _version() -> dict[str, str]:
    major, minor = KUBERNETES.removeprefix("v").split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": KUBERNETES,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        # There is no Go here; what runs instead is named where clients show it.
        "goVersion": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{platform.machine().replace('x86_64', 'amd64')}",
    }


def _paths(discovery: Discovery, openapi: OpenAPI, health: Health, others: Iterable[str]) -> Sequence[str]:
    return sorted([*discovery.paths, *openapi.paths, *health.paths, *others, "/version"])
