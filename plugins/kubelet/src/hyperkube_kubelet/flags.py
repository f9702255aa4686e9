"""Upstream's flags: which are options here, which do nothing, and which are refused.

Each flag of the kubelet 1.36 stands in `flags.json` exactly once: `honoured` (a field of `Options`), `launcher` (read
by hk for every server), `warned` (accepted, and a warning gives the reason) or `refused`. Refused is whatever would
make the node stricter, or runs pods elsewhere than it was told, and isn't done. `removed` are flags that upstream has
dropped and command lines of production still carry; they are warned of.
"""

from __future__ import annotations

from hyperkube_core import FlagTable

__all__ = ["foreign_flags", "treatments"]

_TABLE = FlagTable("hyperkube_kubelet")

treatments = _TABLE.treatments
foreign_flags = _TABLE.foreign
