"""Which checks hold at a level and version. Source: k8s.io/pod-security-admission/policy (registry.go)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from hyperkube_apiserver.admission.podsecurity.baseline import BASELINE, Check
from hyperkube_apiserver.admission.podsecurity.levels import LevelVersion
from hyperkube_apiserver.admission.podsecurity.parts import Tree, Violation
from hyperkube_apiserver.admission.podsecurity.restricted import OVERRIDES, RESTRICTED

__all__ = ["checks", "violations"]

_NEWEST = max(since for versions in (*BASELINE.values(), *RESTRICTED.values()) for since, _ in versions)
"""Nothing has changed since."""


def violations(policy: LevelVersion, metadata: Tree, spec: Tree) -> list[Violation]:
    """What a pod does that it may not."""
    if policy.is_privileged:
        return []
    asked = checks(policy.level, min(policy.minor, _NEWEST)).values()
    return [found for check in asked if (found := check(metadata, spec)) is not None]


@lru_cache(maxsize=128)
def checks(level: str, minor: int) -> Mapping[str, Check]:
    """The checks of a level that is not privileged, by upstream's names."""
    baseline = _as_of(BASELINE, minor)
    if level == "baseline":
        return baseline
    restricted = _as_of(RESTRICTED, minor)
    covered = {OVERRIDES.get(name) for name in restricted}
    return {**{name: check for name, check in baseline.items() if name not in covered}, **restricted}


def _as_of(table: Mapping[str, tuple[tuple[int, Check], ...]], minor: int) -> dict[str, Check]:
    found = {}
    for name, versions in table.items():
        current = [check for since, check in versions if since <= minor]
        if current:
            found[name] = current[-1]
    return found
