"""What changed between two trees, for messages that say which change they refuse.

Source: k8s.io/apimachinery/pkg/util/diff.
"""

from __future__ import annotations

import re
from typing import Any

from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_machinery.encoding import encode_indented

__all__ = ["difference", "line_difference"]

_PAIRS = re.compile("^(?:  )+", re.MULTILINE)
_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def difference(old: Any, new: Any, definition: str, **options: Any) -> str:
    """Lines taken away and added, with three lines around each, of two trees of one type as `as_internal` shows it."""
    return line_difference(*(as_internal(tree, definition, **options) for tree in (old, new)))


def line_difference(old: Any, new: Any) -> str:
    """The same of what is shown as it is."""
    from difflib import unified_diff  # only ever needed on the way to a refusal

    before, after = _lines(old), _lines(new)
    lines = list(unified_diff(before, after, lineterm="", n=3))[2:]  # without the names of files
    return "".join(f"{line}\n" for line in lines)


def _lines(tree: Any) -> list[str]:
    """Indented JSON as Go writes it: with one space a level, and safe to stand in HTML."""
    text = encode_indented(tree).decode().translate(_ESCAPED)
    return _PAIRS.sub(lambda indent: " " * (len(indent[0]) // 2), text).splitlines()
