"""The order of API versions: v2, v1, v1beta2, v1alpha1, and behind them whatever else a version is called.

Source: k8s.io/apimachinery/pkg/version (CompareKubeAwareVersionStrings).
"""

from __future__ import annotations

import re

__all__ = ["version_rank"]

_KNOWN = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STAGES = {None: 0, "beta": 1, "alpha": 2}


def version_rank(version: str) -> tuple[int, int, int, str]:
    """A key to sort versions by: the first is the one to prefer."""
    found = _KNOWN.fullmatch(version)
    if found is None:
        return (len(_STAGES), 0, 0, version)
    major, stage, minor = found.groups()
    return (_STAGES[stage], -int(major), -int(minor or 0), "")
