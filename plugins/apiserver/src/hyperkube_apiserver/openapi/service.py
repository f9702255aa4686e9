"""Answers requests for OpenAPI documents, in JSON and protobuf, and spares clients what they have.

Source: k8s.io/kube-openapi/pkg/handler and handler3, k8s.io/kube-aggregator/pkg/controllers/openapiv3.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.offering import Described, Offering
from hyperkube_apiserver.openapi.phrases import VERSION_2
from hyperkube_apiserver.printers import parse_accept
from hyperkube_apiserver.requestinfo import Query
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.serving.compression import accepts_gzip
from hyperkube_machinery.serving.messages import Request, Response

if TYPE_CHECKING:
    from hyperkube_apiserver.call import Served
    from hyperkube_apiserver.openapi.documents import Documents

__all__ = ["OpenAPI"]

_ROOT_2, _ROOT_3 = "/openapi/v2", "/openapi/v3"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_YEAR_SECONDS = 365 * 24 * 3600.0
# Upstream leaves the type of the index to guessing, and Go takes JSON for text.
_INDEX_TYPE = "text/plain; charset=utf-8"


class OpenAPI:
    """Documents of the kinds served, each made when it is first asked for."""

    paths = (_ROOT_2, _ROOT_3, f"{_ROOT_3}/")
    """What is answered, for the index at the root."""

    def __init__(self, offering: Offering, version: str, clock: Clock) -> None:
        self._offering, self._version = offering, version
        self._generation = -1
        self._opening = asyncio.Lock()
        self._documents: Documents | None = None
        self._clock = clock
        self._since = formatdate(clock.now(), usegmt=True)
        self._packed: dict[tuple[str, bool], bytes] = {}
        self._making: defaultdict[tuple[str, bool], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def answer(self, request: Request, query: Query) -> Response | None:
        """The answer to `request`, or None if its path is none of `paths`."""
        path = request.path
        if path == _ROOT_2:
            return await self._document(request, VERSION_2, "v2", "")
        if path == _ROOT_3:
            return await self._index()
        if not path.startswith(f"{_ROOT_3}/"):
            return None
        name = path.removeprefix(f"{_ROOT_3}/")
        if name == VERSION_2 or name not in (await self._known()).hashes():
            return Response(404, b"", "")
        return await self._document(request, name, "v3", query.get("hash", [""])[0])

    async def _index(self) -> Response:
        hashes = (await self._known()).hashes().items()
        paths = {name: {"serverRelativeURL": _url(name, tag)} for name, tag in hashes if name != VERSION_2}
        since = formatdate(self._clock.now(), usegmt=True)
        return Response(200, encode({"paths": paths}), _INDEX_TYPE, (("Last-Modified", since),))

    async def _document(self, request: Request, name: str, version: str, wanted_hash: str) -> Response:
        vary = ("Vary", "Accept")
        encoding = _encoding(request.headers.get("accept", ""), version)
        if encoding is None:
            return Response(406, b"", "", (vary,))
        tag = (await self._known()).hashes().get(name)
        if tag is None:  # withdrawn just now
            return Response(404, b"", "")
        content_type = f"application/{encoding}"
        headers = [vary, ("ETag", f'"{tag}"')]
        if wanted_hash:
            if wanted_hash != tag:
                return Response(301, b"", content_type, (*headers, ("Location", _url(name, tag))))
            headers.append(("Cache-Control", "public, immutable"))
            headers.append(("Expires", formatdate(self._clock.now() + _YEAR_SECONDS, usegmt=True)))
        if self._is_held(request, tag):
            return Response(304, b"", "", headers)
        headers.append(("Last-Modified", self._since))
        packed = await self._get(name, protobuf=encoding != "json")
        if accepts_gzip(request.headers.get("accept-encoding", "")):
            headers += (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
            return Response(200, packed, content_type, headers)
        return Response(200, await asyncio.to_thread(zlib.decompress, packed, _GZIP_WINDOW), content_type, headers)

    def _is_held(self, request: Request, tag: str) -> bool:
        """Whether the client has the document of `tag`, by its tag or else by its age."""
        if held := request.headers.get("if-none-match"):
            return any(one.strip().removeprefix("W/") in ("*", f'"{tag}"') for one in held.split(","))
        return request.headers.get("if-modified-since") == self._since

    async def _known(self) -> Documents:
        """The documents of what is offered now; what was packed of others is forgotten."""
        if self._documents is not None and self._generation == self._offering.generation:
            return self._documents
        async with self._opening:
            while self._documents is None or self._generation != self._offering.generation:
                generation, kinds = self._offering.generation, list(self._offering.kinds.values())
                foreign = dict(self._offering.described())
                documents = await asyncio.to_thread(self._open, kinds, foreign, list(self._offering.served.values()))
                if generation == self._offering.generation:
                    self._adopt(documents, generation)
            return self._documents

    def _adopt(self, documents: Documents, generation: int) -> None:
        before = self._documents.hashes() if self._documents is not None else {}
        hashes = documents.hashes()
        for key in [key for key in self._packed if hashes.get(key[0]) != before.get(key[0])]:
            del self._packed[key]
        if before and before != hashes:
            self._since = formatdate(self._clock.now(), usegmt=True)
        self._documents, self._generation = documents, generation

    def _open(self, kinds: Sequence[Kind], foreign: Mapping[str, Described], served: Sequence[Served]) -> Documents:
        # Takes milliseconds and a megabyte, and few servers are ever asked.
        from hyperkube_apiserver.openapi.custommodels import CustomModel
        from hyperkube_apiserver.openapi.documents import Documents

        models = [CustomModel(one.kind, schema) for one in served if (schema := one.schema) is not None]
        documents = Documents([kind for kind in kinds if kind.definition], self._version, foreign, models)
        documents.hashes()
        return documents

    async def _get(self, name: str, *, protobuf: bool) -> bytes:
        documents, key = await self._known(), (name, protobuf)
        async with self._making[key]:
            packed = self._packed.get(key)
            if packed is None:
                packed = await asyncio.to_thread(documents.packed, name, protobuf=protobuf)
                if documents is self._documents:
                    self._packed[key] = packed
            return packed


def _url(name: str, tag: str) -> str:
    return f"{_ROOT_3}/{name}?{urlencode({'hash': tag})}"


def _encoding(accept: str, version: str) -> str | None:
    """The subtype to answer with: `json`, or that of gnostic's messages; None if nothing accepted is made."""
    protobuf = f"com.github.proto-openapi.spec.{version}.v1.0+protobuf"
    made = {"json": "json", "*": "json", protobuf: protobuf, protobuf.replace(".v1.0", "@v1.0"): protobuf}
    for clause in parse_accept(accept or "*/*"):
        if clause.type in ("application", "*") and clause.subtype in made:
            return made[clause.subtype]
    return None
