"""What a plugin can offer beside servers, as values: commands of the launcher, and checks of `hk doctor`.

`_extras` finds and calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from hyperkube_core._server import PLUGIN_API


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A command of the launcher that is no server, such as `hk image`."""

    name: str
    app: str
    """Where to import the Typer application from whose commands are its subcommands."""
    summary: str = ""
    """One line, for lists."""
    plugin_api: int = PLUGIN_API
    """The version of this contract that it was written for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check of `hk doctor`."""

    name: str
    run: str | Callable[[], Iterable[Finding]]
    """A function without arguments, or where to import it from."""
    plugin_api: int = PLUGIN_API
    """The version of this contract that it was written for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to. A problem keeps something from running; a warning may."""

    check: str
    state: Literal["ok", "warning", "problem"]
    detail: str
    advice: str = ""
