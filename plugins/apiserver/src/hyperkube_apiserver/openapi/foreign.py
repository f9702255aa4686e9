"""Documents of what somebody else serves, or defines, told among this server's own.

Source: k8s.io/kube-aggregator/pkg/controllers/{openapi,openapiv3}/aggregator, k8s.io/kube-openapi/pkg/aggregator.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hyperkube_apiserver.offering import Described

__all__ = ["Foreign", "merged"]

Tree = dict[str, Any]

_PREFIX = "#/definitions/"
_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Foreign:
    """The documents of one group version, of OpenAPI 3 and of OpenAPI 2, packed; fits `Described`."""

    packed_3: bytes
    packed_2: bytes

    @staticmethod
    def pack(document: bytes) -> bytes:
        """A document in JSON, as it is kept."""
        return zlib.compress(document, _LEVEL)

    @property
    def tag(self) -> str:
        """Another one where the documents are others."""
        return hashlib.sha512(self.packed_3 + b"\0" + self.packed_2).hexdigest().upper()

    def version_3(self) -> Tree:
        """The document of OpenAPI 3. Takes long where it is large."""
        return _tree(self.packed_3)

    def version_2(self) -> Tree:
        """The document of OpenAPI 2. Takes long where it is large."""
        return _tree(self.packed_2)


def merged(document: Tree, own_definitions: Collection[str], others: Mapping[str, Described]) -> Tree:
    """A document of OpenAPI 2, whose `paths` and `definitions` are iterators, with those of `others` by their names.

    Of each only the paths below its own group version are taken. A definition that is called as another one is, and is
    not the same, gets another name.
    """
    parts = []
    taken = set(own_definitions)
    for name, foreign in others.items():
        fragment = _renamed(_below(foreign.version_2(), f"/{name}/"), taken)
        taken.update(fragment["definitions"])
        parts.append(fragment)
    return {
        **document,
        "paths": _chained(document["paths"], (part["paths"] for part in parts)),
        "definitions": _chained(document["definitions"], (part["definitions"] for part in parts)),
        "parameters": {name: tree for part in (*parts, document) for name, tree in part["parameters"].items()},
    }


def _tree(packed: bytes) -> Tree:
    try:
        found = orjson.loads(zlib.decompress(packed)) if packed else {}
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _below(document: Tree, root: str) -> Tree:
    """The paths below `root`, with that itself, and the definitions that they lead to."""
    paths = {path: item for path, item in _items(document, "paths") if f"{path}/".startswith(root)}
    known = dict(_items(document, "definitions"))
    wanted: dict[str, Tree] = {}
    waiting = list(_references(paths))
    while waiting:
        name = waiting.pop()
        if name in known and name not in wanted:
            wanted[name] = known[name]
            waiting += _references(known[name])
    parameters = dict(_items(document, "parameters"))
    return {"paths": paths, "definitions": wanted, "parameters": parameters}


def _items(document: Tree, field: str) -> Iterable[tuple[str, Any]]:
    found = document.get(field)
    return found.items() if isinstance(found, dict) else ()


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner.removeprefix(_PREFIX)
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _renamed(fragment: Tree, taken: Collection[str]) -> Tree:
    names: dict[str, str] = {}
    for name in fragment["definitions"]:
        free, number = name, 2
        while free in taken:
            free, number = f"{name}_v{number}", number + 1
        if free != name:
            names[name] = free
    if not names:
        return fragment

    def rename(reference: str) -> str:
        name = reference.removeprefix(_PREFIX)
        return _PREFIX + names.get(name, name)

    definitions = {names.get(name, name): tree for name, tree in fragment["definitions"].items()}
    return {
        "paths": _with_references(fragment["paths"], rename),
        "definitions": _with_references(definitions, rename),
        "parameters": fragment["parameters"],
    }


def _with_references(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {
            key: change(inner)
            if key == "$ref" and isinstance(inner, str) and inner.startswith(_PREFIX)
            else _with_references(inner, change)
            for key, inner in value.items()
        }
    return [_with_references(inner, change) for inner in value] if isinstance(value, list) else value


def _chained(own: Any, others: Iterable[Tree]) -> Iterator[tuple[str, Tree]]:
    yield from own.items() if isinstance(own, dict) else own
    for one in others:
        yield from one.items()
