"""Which documents there are, and their bytes in both encodings.

A document is made when it is asked for, in a thread, and kept compressed; what it is made from is not kept. Its hash is
not that of its bytes, which nobody may ever ask for, but that of all they are made from.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.offering import Described
from hyperkube_apiserver.openapi import gnostic, v2, v3
from hyperkube_apiserver.openapi.custommodels import CustomModel, Models
from hyperkube_apiserver.openapi.custompaths import custom_paths
from hyperkube_apiserver.openapi.foreign import merged
from hyperkube_apiserver.openapi.operations import paths_of
from hyperkube_apiserver.openapi.paths import Path, group_path, root_paths
from hyperkube_apiserver.openapi.phrases import VERSION_2
from hyperkube_apiserver.openapi.schemas import Schemas
from hyperkube_apiserver.openapi.wire import message_pieces
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.schema.table import load_table

__all__ = ["Documents"]

Tree = dict[str, Any]
GroupVersion = tuple[str, str]

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_LEVEL = 6  # these are packed once and sent often
# What the bytes of documents come from, beside the kinds that are served.
_SOURCES = (
    ("hyperkube_apiserver.openapi", (".py", ".json")),
    ("hyperkube_machinery.schema", (".json",)),
)


class Documents:
    """The documents of the kinds served, and of paths beside those."""

    def __init__(
        self,
        kinds: Iterable[Kind],
        version: str,
        foreign: Mapping[str, Described] | None = None,
        models: Iterable[CustomModel] = (),
    ) -> None:
        """`kinds` are those that have a definition, `models` those that have not.

        `foreign` are documents of group versions that others describe, by name.
        """
        self._version = version
        self._foreign = dict(foreign or {})
        self._kinds: dict[GroupVersion, list[Kind]] = defaultdict(list)
        for kind in kinds:
            self._kinds[kind.resource.group, kind.resource.version].append(kind)
        self._models: dict[GroupVersion, list[CustomModel]] = defaultdict(list)
        for model in models:
            self._models[model.kind.resource.group, model.kind.resource.version].append(model)
        self._hashes: dict[str, str] = {}

    def hashes(self) -> Mapping[str, str]:
        """The hash of each document by its name, such as `apis/apps/v1`, sorted."""
        if not self._hashes:
            common = _fingerprint(self._version)
            seeds: dict[str, object] = {_name(*one): kinds for one, kinds in self._kinds.items()}
            seeds.update({f"apis/{group}": group for group, _ in self._kinds if group})
            seeds.update({name: name for name, _ in root_paths()})
            custom = {_name(*one): sorted(map(CustomModel.tag, models)) for one, models in self._models.items()}
            seeds.update({name: (seeds.get(name), tags) for name, tags in custom.items()})
            seeds.update({name: one.tag for name, one in self._foreign.items()})
            everything = common + repr(sorted(seeds.items())).encode()
            self._hashes = {name: _digest(common + f"{name}{seeds[name]!r}".encode()) for name in sorted(seeds)}
            self._hashes[VERSION_2] = _digest(everything)
        return self._hashes

    def packed(self, name: str, *, protobuf: bool) -> bytes:
        """One of `hashes`, in gzip. Takes long: call it in a thread."""
        tables = gnostic.VERSION_2 if name == VERSION_2 else gnostic.VERSION_3
        document = _gently(self._document(name))
        pieces = message_pieces(tables, document) if protobuf else _json_pieces(document)
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        packed = [packer.compress(piece) for piece in pieces]
        return b"".join((*packed, packer.flush()))

    def _document(self, name: str) -> Tree:
        if name in self._foreign:
            return self._foreign[name].version_3()
        schemas = Schemas(load_table())
        info = {"title": "Kubernetes", "version": self._version}
        if name == VERSION_2:
            groups = sorted({group for group, _ in self._kinds if group})
            paths = [path for one in self._kinds for path in self._paths(*one)]
            paths += [*map(group_path, groups), *(path for _, path in root_paths())]
            models = [model for one in self._models.values() for model in one]
            paths += [path for model in models for path in custom_paths(model.kind)]
            document = v2.document(info, paths, Models(schemas, models, version_2=True))
            if not self._foreign:
                return document
            own = Models(schemas, models).closure(name for path in paths for name in path.definitions())
            return merged(document, own, self._foreign)
        for group_version in self._kinds:
            if name == _name(*group_version):
                paths = [*self._paths(*group_version), *self._custom_paths(group_version)]
                return v3.document(info, paths, Models(schemas, self._models[group_version]), group_version)
        for group_version, models in self._models.items():
            if name == _name(*group_version):
                return v3.custom_document(list(self._custom_paths(group_version)), Models(schemas, models))
        others = dict(root_paths())
        path = others[name] if name in others else group_path(name.removeprefix("apis/"))
        return v3.document(info, [path], schemas, None)

    def _paths(self, group: str, version: str) -> Iterator[Path]:
        return paths_of(group, version, self._kinds[group, version], load_table().kinds)

    def _custom_paths(self, group_version: GroupVersion) -> Iterator[Path]:
        return (path for model in self._models[group_version] for path in custom_paths(model.kind))


def _name(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _digest(content: bytes) -> str:
    return hashlib.sha512(content).hexdigest().upper()


def _fingerprint(version: str) -> bytes:
    digest = hashlib.sha512(version.encode())
    for package, endings in _SOURCES:
        for file in sorted(files(package).iterdir(), key=lambda one: one.name):
            if file.name.endswith(endings):
                digest.update(file.read_bytes())
    return digest.digest()


def _gently(document: Tree) -> Tree:
    """`document`, whose parts let the other threads, and so the loop, go on between them."""
    return {
        key: _gently(value) if isinstance(value, dict) else _pausing(value) if isinstance(value, Iterator) else value
        for key, value in document.items()
    }


def _pausing(parts: Iterator[tuple[str, Tree]]) -> Iterator[tuple[str, Tree]]:
    for part in parts:
        yield part
        time.sleep(0)  # lets go of Python's lock, which a thread else keeps for 5 ms


def _json_pieces(value: Any) -> Iterator[bytes]:
    """The JSON of `value`, in which mappings may be iterators of their items."""
    if _holds_iterators(value):
        value = iter(value.items())
    if not isinstance(value, Iterator):
        yield encode(value)
        return
    before = b"{"
    for key, inner in value:
        yield before + encode(key) + b":"
        yield from _json_pieces(inner)
        before = b","
    yield b"}" if before == b"," else b"{}"


def _holds_iterators(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(one, Iterator) or _holds_iterators(one) for one in value.values())
