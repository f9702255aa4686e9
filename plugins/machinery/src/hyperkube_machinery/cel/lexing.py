"""From text to tokens. Source: the grammar of cel-go, CEL.g4."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hyperkube_machinery.cel.source import Problem

__all__ = ["END", "Token", "readable", "tokenize"]

END = "<EOF>"

_ESCAPE = r"""\\(?:[abfnrtv"'\\?`]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"""
_STRING = "|".join(
    (
        rf'"""(?:{_ESCAPE}|[^\\])*?"""',
        rf"'''(?:{_ESCAPE}|[^\\])*?'''",
        rf'"(?:{_ESCAPE}|[^\\"\n\r])*"',
        rf"'(?:{_ESCAPE}|[^\\'\n\r])*'",
        r'[rR]"""(?s:.)*?"""',
        r"[rR]'''(?s:.)*?'''",
        r'[rR]"[^"\n\r]*"',
        r"[rR]'[^'\n\r]*'",
    )
)
_TOKENS = re.compile(
    "|".join(
        (
            r"(?P<SPACE>[\t \r\n\f]+|//[^\n]*)",
            r"(?P<NUM_FLOAT>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)",
            r"(?P<NUM_UINT>0x[0-9a-fA-F]+[uU]|[0-9]+[uU])",
            r"(?P<NUM_INT>0x[0-9a-fA-F]+|[0-9]+)",
            rf"(?P<BYTES>[bB](?:{_STRING}))",
            rf"(?P<STRING>{_STRING})",
            r"(?P<IDENTIFIER>[A-Za-z_][A-Za-z0-9_]*)",
            r"(?P<ESC_IDENTIFIER>`[A-Za-z0-9_.\-/ ]+`)",
            r"(?P<OPERATOR>==|!=|<=|>=|&&|\|\||[<>\[\]{}().,\-!?:+*/%])",
        )
    )
)
_KEYWORDS = frozenset(("in", "true", "false", "null"))
_BEGUN_STRING = re.compile(
    "|".join(
        (
            rf'"""(?:{_ESCAPE}|[^\\])*',
            rf"'''(?:{_ESCAPE}|[^\\])*",
            rf'"(?:{_ESCAPE}|[^\\"\n\r])*',
            rf"'(?:{_ESCAPE}|[^\\'\n\r])*",
        )
    )
)
_BEGUN_ESCAPE = re.compile(r"\\(?:[xX][0-9a-fA-F]?|u[0-9a-fA-F]{0,3}|U[0-9a-fA-F]{0,7}|[0-3][0-7]?)?")
_BEGUN_NAME = re.compile(r"`[A-Za-z0-9_.\-/ ]*")


@dataclass(slots=True)
class Token:
    """A piece of the text; `kind` is an operator or keyword itself, or the name of a class of tokens."""

    kind: str
    text: str
    offset: int


def tokenize(text: str) -> tuple[list[Token], list[Problem]]:
    """The tokens, the last of them END, and what of the text is none."""
    tokens: list[Token] = []
    problems: list[Problem] = []
    at, end = 0, len(text)
    match = _TOKENS.match
    while at < end:
        found = match(text, at)
        if found is None:
            stop = _stop(text, at)
            problems.append((at, f"Syntax error: token recognition error at: '{_shown(text[at : stop + 1])}'"))
            at = stop + 1
            continue
        kind, token = found.lastgroup or "", found[0]
        if kind == "OPERATOR" or (kind == "IDENTIFIER" and token in _KEYWORDS):
            tokens.append(Token(token, token, at))
        elif kind != "SPACE":
            tokens.append(Token(kind, token, at))
        at = found.end()
    tokens.append(Token(END, END, end))
    return tokens, problems


def readable(text: str) -> str:
    """The text without what belongs to no token."""
    return "".join(found[0] for found in _TOKENS.finditer(text))


def _stop(text: str, at: int) -> int:
    """The first code point that can't belong to the token begun at `at`, which is none."""
    begun = text[at]
    if begun in "=&|":
        return at + 1
    if begun == "`":
        found = _BEGUN_NAME.match(text, at)
    elif begun in "\"'":
        found = _BEGUN_STRING.match(text, at)
    else:
        return at
    stop = found.end() if found else at
    escape = _BEGUN_ESCAPE.match(text, stop)
    return escape.end() if escape else stop


def _shown(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
