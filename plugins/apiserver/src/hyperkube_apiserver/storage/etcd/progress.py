"""How far watches have come, of which etcd tells but when their keys are written.

etcd tells it when it is asked, reliably since 3.5.13 and 3.4.31: before, its word may overtake events. There a marker
is written among the watched keys, whose own event comes behind all before it.
Source: k8s.io/apiserver/pkg/storage/feature (RequestWatchProgress).
"""

from __future__ import annotations

import re

__all__ = ["tells_progress"]


def tells_progress(version: str) -> bool:
    """Whether an etcd of that version can be asked how far a watch is."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return False
    numbers = tuple(map(int, found.groups()))
    if numbers[:2] == (3, 4):
        return numbers >= (3, 4, 31)
    return numbers >= (3, 5, 13)
