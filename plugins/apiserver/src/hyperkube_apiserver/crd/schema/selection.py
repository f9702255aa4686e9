"""Fields by which objects can be selected, as a definition names them.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource (strategy.go: selectableFields).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.crd.schema.paths import NoResult, Path, compile_path
from hyperkube_machinery.jsonpath import JSONPathError
from hyperkube_machinery.schema.converted import go_value

__all__ = ["Selection"]

Tree = Mapping[str, Any]


class Selection:
    """The selectable fields of one version, beside the names that every object has."""

    def __init__(self, asked: Sequence[Tree]) -> None:
        self._paths: dict[str, Path] = {}
        for one in asked:
            text = one.get("jsonPath") or ""
            try:
                self._paths[text.removeprefix(".")] = compile_path(text)
            except JSONPathError:  # of a definition from before they were checked
                continue
        self.fields = tuple(self._paths)

    def values(self, obj: Tree) -> dict[str, str]:
        """What an object has in the fields, "" for nothing."""
        return {field: _shown(path, obj) for field, path in self._paths.items()}


def _shown(path: Path, obj: Tree) -> str:
    try:
        found = path(obj)
    except NoResult:
        return ""
    if not found or found[0] is None:
        return ""
    return found[0] if isinstance(found[0], str) else go_value(found[0])
