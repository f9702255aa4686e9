"""Keys in paths of JSON patches: `"/metadata/labels/" + jsonpatch.escapeKey("a/b")`.

Source: k8s.io/apiserver/pkg/cel/library/jsonpatch.go.
"""

from __future__ import annotations

from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.types import STRING

__all__ = ["JSON_PATCHES"]

_ESCAPES = str.maketrans({"/": "~1", "~": "~0"})


def _escape_key(key: str) -> str:
    return key.translate(_ESCAPES)


JSON_PATCHES = Library(
    name="kubernetes.jsonpatch",
    functions=(
        Function("jsonpatch.escapeKey", Overload("string_jsonpatch_escapeKey_string", (STRING,), STRING, _escape_key)),
    ),
)
