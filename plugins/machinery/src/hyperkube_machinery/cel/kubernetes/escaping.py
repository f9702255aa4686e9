"""Names of fields as identifiers of CEL: `a-b` is written `a__dash__b`.

Source: k8s.io/apiserver/pkg/cel/escaping.go.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["RESERVED", "escape", "unescape"]

RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_plain_re = re.compile(r"(?!.*__)[A-Za-z_][A-Za-z0-9_]*")
_escapable_re = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*")
_special_re = re.compile(r"__|[-./]")
_escaped_re = re.compile(r"__[^_]+__")
_WORDS = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_CHARACTERS = {word: char for char, word in _WORDS.items()}


@lru_cache(maxsize=2048)
def escape(name: str) -> str | None:
    """The identifier for a field, None if there can be none."""
    if name in RESERVED:
        return f"__{name}__"
    if _plain_re.fullmatch(name):
        return name
    if not _escapable_re.fullmatch(name):
        return None
    return _special_re.sub(lambda match: _WORDS[match[0]], name)


@lru_cache(maxsize=2048)
def unescape(identifier: str) -> str | None:
    """The field that an identifier stands for, None if its escapes make no sense."""
    if "__" not in identifier:
        return identifier
    wrong = False

    def character(match: re.Match[str]) -> str:
        nonlocal wrong
        if match[0] in _CHARACTERS:
            return _CHARACTERS[match[0]]
        word = match[0][2:-2]
        wrong = wrong or word not in RESERVED or match[0] != identifier
        return word

    name = _escaped_re.sub(character, identifier)
    return None if wrong else name
