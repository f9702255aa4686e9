"""What changed between two trees, for messages that say which change they refuse."""

from __future__ import annotations

import json
from difflib import unified_diff
from typing import Any

__all__ = ["difference"]


def difference(old: Any, new: Any) -> str:
    """Lines taken away and added, with three lines around each, as they stand in indented JSON."""
    before, after = (json.dumps(tree, indent=1, sort_keys=True).splitlines() for tree in (old, new))
    lines = list(unified_diff(before, after, lineterm="", n=3))[2:]  # without the names of files
    return "".join(f"{line}\n" for line in lines)
