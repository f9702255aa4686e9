"""Files of variables that containers leave for others of their pod: `NAME='value'`, each value in single quotes.

Source: k8s.io/kubernetes/pkg/kubelet/util/env.
"""

from __future__ import annotations

import re

__all__ = ["InvalidFile", "value_in"]

_NAME = re.compile(r"[ \t]*([^=\n]*)=")
_QUOTED = re.compile(r"'([^']*)'[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_LEFT_OUT = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


class InvalidFile(ValueError):
    """It is no such file; the text says in which line."""


def value_in(text: str, key: str) -> str:
    """The value of the first variable called `key`; "" where there is none. Raises InvalidFile, up to that line."""
    text = text.replace("\r\n", "\n")
    at = 0
    while at < len(text):
        if blank := _LEFT_OUT.match(text, at):
            at = blank.end()
            continue
        line = text.count("\n", 0, at) + 1
        begin = f"invalid environment variable format at line {line}: "
        name = _NAME.match(text, at)
        if name is None:
            raise InvalidFile(begin + "missing '='")
        if not name[1].strip(" \t"):
            raise InvalidFile(begin + "empty variable name")
        if name[1] != name[1].rstrip(" \t"):
            raise InvalidFile(begin + "whitespace before '=' is not allowed")
        at = name.end()
        if text[at : at + 1] in (" ", "\t"):  # as a shell has it, nothing is assigned
            if name[1] == key:
                return ""
            at = text.find("\n", at) + 1 or len(text)
            continue
        value = _QUOTED.match(text, at)
        if value is None:
            raise InvalidFile(begin + _complaint(text, at))
        if name[1] == key:
            return value[1]
        at = value.end()
    return ""


def _complaint(text: str, at: int) -> str:
    if text[at : at + 1] != "'":
        return "value must be enclosed in single quotes"
    return "unexpected content after closing quote" if "'" in text[at + 1 :] else "unclosed single quote"
