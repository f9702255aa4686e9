"""What becomes of the flags of a program that a server stands in for, as a file of the server's package has it."""

from __future__ import annotations

import json
from functools import cached_property
from pkgutil import get_data
from typing import TYPE_CHECKING, Any

from hyperkube_core._options import ForeignFlag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class FlagTable:
    """The table in `flags.json` of a package, which is read when it is first asked.

    Each flag stands in one of the `groups`, `{"treatment", "reason", "flags": […]}`, where the treatment is `honoured`
    (a field of the options), `launcher` (read by hk for every server), `warned` or `refused`. Of `switches`, bools, the
    value can only follow an equals sign; `agrees` has the values, by flag, that say what happens anyway. Groups under
    `removed` are of flags that the program had once and command lines still carry.
    """

    def __init__(self, package: str) -> None:
        self._package = package

    def treatments(self) -> dict[str, str]:
        """Every flag that the program has, with what becomes of it."""
        return {flag: group["treatment"] for group in self._table["groups"] for flag in group["flags"]}

    def foreign(self) -> Mapping[str, ForeignFlag]:
        """Those that are warned of or refused."""
        return self._foreign

    @cached_property
    def _foreign(self) -> Mapping[str, ForeignFlag]:
        return dict(self._read())

    def _read(self) -> Iterator[tuple[str, ForeignFlag]]:
        table = self._table
        switches, agrees = set(table.get("switches", ())), table.get("agrees", {})
        for group in (*table["groups"], *table.get("removed", ())):
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

    @cached_property
    def _table(self) -> dict[str, Any]:
        # Without importlib.resources, which imports three dozen modules: a thirtieth of a server's start.
        data = get_data(self._package, "flags.json")
        if data is None:  # its loader reads no files
            raise FileNotFoundError(f"flags.json of {self._package}")
        found: dict[str, Any] = json.loads(data)
        return found
