"""Feature gates: what is asked for that is not so here. Pure.

Source: k8s.io/kubernetes/pkg/features, by what pkg/proxy and cmd/kube-proxy ask of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["gate_warnings"]

_DEFAULTS = {
    "AllAlpha": False,
    "AllBeta": False,
    "AllowServiceExternalIPs": True,
    "ComponentFlagz": False,
    "ComponentStatusz": False,
    "MultiCIDRServiceAllocator": True,
    "PreferSameTrafficDistribution": True,
}
"""What is so here."""


def gate_warnings(gates: Mapping[str, bool]) -> Iterator[str]:
    """One for each gate that does nothing."""
    for name, on in sorted(gates.items()):
        if name not in _DEFAULTS:
            yield f"the feature gate {name} has no effect: kube-proxy 1.36 has no such gate, or none that matters to it"
        elif on != _DEFAULTS[name]:
            why = "the feature is not there" if on else "the feature is there always"
            yield f"the feature gate {name} has no effect: {why}"
