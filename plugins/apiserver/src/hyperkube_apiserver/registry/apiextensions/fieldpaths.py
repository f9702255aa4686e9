"""Paths to fields of values, as CEL rules and selectable fields give them, followed through a structural schema.

Source: ValidFieldPath in k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["FieldPathError", "follow"]

Tree = Mapping[str, Any]

_token_re = re.compile(r"[.\[\]]|'(?:[^'\\]|\\.|\\\n)*'|[^.\[\]]+", re.DOTALL)
_escape_re = re.compile(r"\\.", re.DOTALL)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


class FieldPathError(ValueError):
    """The path leads nowhere."""


def follow(path: str, schema: Tree, *, allow_brackets: bool = True) -> tuple[tuple[str, ...], Tree | None]:
    """The fields that `path` names and the schema of the last, None where it has none. Raises FieldPathError."""
    tokens = iter(_token_re.findall(path))
    fields: list[str] = []
    current: Tree | None = schema
    for token in tokens:
        if token == "[":
            if not allow_brackets:
                raise FieldPathError("array notation is not allowed")
            name = _unquoted(_next(tokens))
            current = _step(name, current)
            fields.append(name)
            if (closing := _next(tokens)) != "]":
                raise FieldPathError(f"expected ] but got {closing}")
        elif token == ".":
            name = _next(tokens)
            current = _step(name, current)
            fields.append(name)
        else:
            raise FieldPathError(f"expected [ or . but got: {token}")
    return tuple(fields), current


def _next(tokens: Iterator[str]) -> str:
    token = next(tokens, None)
    if token is None:
        raise FieldPathError("unexpected end of JSON path")
    return token


def _unquoted(token: str) -> str:
    if len(token) < 2 or not (token.startswith("'") and token.endswith("'")):
        raise FieldPathError(f"expected single quoted string but got {token}")

    def escaped(match: re.Match[str]) -> str:
        if match[0][1] not in _ESCAPES:
            raise FieldPathError(f"invalid string literal: invalid escape char {match[0]}")
        return _ESCAPES[match[0][1]]

    return _escape_re.sub(escaped, token[1:-1])


def _step(name: str, schema: Tree | None) -> Tree | None:
    properties, others = (schema or {}).get("properties"), (schema or {}).get("additionalProperties")
    if properties:
        if name not in properties:
            raise FieldPathError("does not refer to a valid field")
        inner: Tree = properties[name]
        return inner
    if others is None:
        raise FieldPathError("does not refer to a valid field")
    return others if isinstance(others, dict) else None
