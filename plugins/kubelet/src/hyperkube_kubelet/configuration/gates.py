"""Feature gates: what is asked for that is not so here. Pure.

Nothing here is behind a gate: a feature is there, as those that upstream has on by default are, or it is not. So a gate
that says what upstream does anyway passes, and what differs is worth a warning. Those of earlier releases, which
command lines still carry, are told of. Source: k8s.io/kubernetes/pkg/features.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache

from hyperkube_machinery.packaged import read_packaged

__all__ = ["refused", "warnings"]

_STRICTER = frozenset({"SELinuxMount"})
"""Off by default, and whoever turns one on relies on being kept from something."""


def refused(gates: Mapping[str, bool]) -> str:
    """Why these gates can't be had; "" where they can."""
    wanted = sorted(name for name, on in gates.items() if on and name in _STRICTER)
    return f"the feature {', '.join(wanted)} is not there" if wanted else ""


def warnings(gates: Mapping[str, bool]) -> Iterator[str]:
    """One for each gate that does nothing."""
    known = _defaults()
    for name, on in sorted(gates.items()):
        if name not in known:
            yield f"the feature gate {name} has no effect: Kubernetes 1.36 has no such gate"
        elif on != known[name]:
            why = "the feature is not there" if on else "the feature is there always, or not at all"
            yield f"the feature gate {name} has no effect: {why}"


@cache
def _defaults() -> Mapping[str, bool]:
    table = json.loads(read_packaged("hyperkube_kubelet", "gates.json"))
    return {name: on for word, on in (("on", True), ("off", False)) for name in table[word]}
