"""What changed between two trees, for messages that say which change they refuse."""

from __future__ import annotations

import re
from difflib import unified_diff
from typing import Any

from hyperkube_machinery.encoding import encode_indented

__all__ = ["difference"]

_PAIRS = re.compile("^(?:  )+", re.MULTILINE)


def difference(old: Any, new: Any) -> str:
    """Lines taken away and added, with three lines around each, as they stand in indented JSON."""
    lines = list(unified_diff(_lines(old), _lines(new), lineterm="", n=3))[2:]  # without the names of files
    return "".join(f"{line}\n" for line in lines)


def _lines(tree: Any) -> list[str]:
    """Indented JSON with one space a level and keys in order, as the API server's messages have it."""
    text = encode_indented(_in_order(tree)).decode()
    return _PAIRS.sub(lambda indent: " " * (len(indent[0]) // 2), text).splitlines()


def _in_order(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _in_order(tree[key]) for key in sorted(tree)}
    if isinstance(tree, list):
        return [_in_order(item) for item in tree]
    return tree
