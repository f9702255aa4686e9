"""The OpenAPI documents of another server, as far as they are about one group version.

Source: k8s.io/kube-aggregator/pkg/controllers/{openapi,openapiv3}/aggregator (downloader.go).
"""

from __future__ import annotations

from typing import Any

import orjson

from hyperkube_apiserver.aggregation.backend import Backend
from hyperkube_apiserver.openapi.foreign import Foreign

__all__ = ["Described"]

_SECONDS = 60.0
_JSON = "application/json"


class Described:
    """What was read so far, with what tells whether it is still so."""

    def __init__(self, group: str, version: str) -> None:
        self.documents: Foreign | None = None
        self._name = f"apis/{group}/{version}" if group else f"api/{version}"
        self._url = ""  # of the document of OpenAPI 3: another one where that is another
        self._tag = ""  # of the one of OpenAPI 2

    async def read(self, backend: Backend) -> None:
        """Read what is another than before. A server may have neither document. Raises CallFailed."""
        before = self.documents
        version_3 = await self._version_3(backend, b"" if before is None else before.packed_3)
        version_2 = await self._version_2(backend, b"" if before is None else before.packed_2)
        if before is None or (version_3, version_2) != (before.packed_3, before.packed_2):
            self.documents = Foreign(version_3, version_2) if version_3 or version_2 else None

    async def _version_3(self, backend: Backend, before: bytes) -> bytes:
        index = await backend.get("/openapi/v3", accept=_JSON, seconds=_SECONDS)
        paths = _field(_field(_read(index.body), "paths"), self._name) if index.status == 200 else {}
        url = paths.get("serverRelativeURL")
        if not isinstance(url, str) or not url.startswith("/"):
            self._url = ""
            return b""
        if url == self._url and "hash=" in url:
            return before
        said = await backend.get(url, accept=_JSON, seconds=_SECONDS)
        if said.status != 200:
            return before
        self._url = url
        return Foreign.pack(said.body)

    async def _version_2(self, backend: Backend, before: bytes) -> bytes:
        said = await backend.get("/openapi/v2", accept=_JSON, known_tag=self._tag, seconds=_SECONDS)
        if said.status == 304:
            return before
        self._tag = said.headers.get("etag", "") if said.status == 200 else ""
        return Foreign.pack(said.body) if said.status == 200 else b""


def _read(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}


def _field(tree: Any, name: str) -> dict[str, Any]:
    found = tree.get(name) if isinstance(tree, dict) else None
    return found if isinstance(found, dict) else {}
