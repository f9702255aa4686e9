"""etcd's flags: which are options here, which do nothing, and which are refused.

Each flag of etcd 3.5 stands in `flags.json` exactly once: `honoured` (a field of `Options`), `launcher` (read by hk for
every server), `warned` (accepted, and a warning gives the reason) or `refused`. Refused is whatever would make the
server stricter, or puts data elsewhere than it was told, and isn't done.
"""

from __future__ import annotations

from hyperkube_core import FlagTable

__all__ = ["foreign_flags", "treatments"]

_TABLE = FlagTable("hyperkube_etcd")

treatments = _TABLE.treatments
foreign_flags = _TABLE.foreign
