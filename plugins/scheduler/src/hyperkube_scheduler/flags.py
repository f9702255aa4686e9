"""kube-scheduler's flags: which are options here, which do nothing, and which are refused.

Each flag of kube-scheduler 1.36 stands in `flags.json` exactly once: `honoured` (a field of `Options`), `launcher`
(read by hk for every server), `warned` (accepted, and a warning gives the reason) or `refused`. Refused is whatever
would make the server stricter, or puts data elsewhere than it was told, and isn't done.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from hyperkube_core import ForeignFlag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["foreign_flags", "treatments"]


def treatments() -> dict[str, str]:
    """Every flag of kube-scheduler with what becomes of it."""
    return {flag: group["treatment"] for group in _table()["groups"] for flag in group["flags"]}


@cache
def foreign_flags() -> Mapping[str, ForeignFlag]:
    """Those that are warned of or refused."""
    return dict(_foreign())


def _foreign() -> Iterator[tuple[str, ForeignFlag]]:
    table = _table()
    switches, agrees = set(table["switches"]), table["agrees"]
    for group in table["groups"]:
        if group["treatment"] in ("warned", "refused"):
            for name in group["flags"]:
                yield (
                    name,
                    ForeignFlag(
                        group["treatment"],
                        group["reason"],
                        takes_value=name not in switches,
                        agrees=tuple(agrees.get(name, ())),
                    ),
                )


def _table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("hyperkube_scheduler").joinpath("flags.json").read_text("utf-8"))
    return found
