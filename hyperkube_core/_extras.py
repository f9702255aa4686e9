"""What plugins offer beside servers: commands of their own, and checks for `hk doctor`.

Each is an entry point: of the group `hyperkube.commands` by the command's name, of `hyperkube.checks` by any name (for
a brand's launcher of its own groups). Both load a light plugin module, whose hook says what there is; what is behind
it is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hyperkube_core._discovery import discover
from hyperkube_core._errors import DescriptionError, PluginError, PluginVersionError
from hyperkube_core._registry import ask, import_to_describe
from hyperkube_core._server import PLUGIN_API

if TYPE_CHECKING:
    from hyperkube_core._discovery import PluginRecord
    from hyperkube_core._launcher import HyperKube


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


def tool_names(launcher: HyperKube) -> list[str]:
    """The names of all tools; imports nothing."""
    return sorted({record.name for record in _records(launcher, "commands")})


def find_tool(launcher: HyperKube, name: str) -> Tool | None:
    """The tool of that name, importing its plugin and no other. Raises PluginError."""
    for record in _records(launcher, "commands"):
        if record.name == name:
            for tool in ask(record, "hyperkube_commands"):
                _check(tool, Tool, record)
                if tool.name == name:
                    return tool  # type: ignore[no-any-return]
            raise DescriptionError(name, f"{record.target} offers no command of that name")
    return None


def tools(launcher: HyperKube) -> Iterator[tuple[str, str]]:
    """Each tool's name and what it does, or why it cannot be used."""
    for name in tool_names(launcher):
        try:
            tool = find_tool(launcher, name)
        except PluginError as exc:
            yield name, f"BROKEN: {exc}"
        else:
            yield name, tool.summary if tool is not None else ""


def findings(launcher: HyperKube) -> Iterator[Finding]:
    """What the checks of all plugins come to; one that fails is a finding itself."""
    for record in {record.target: record for record in _records(launcher, "checks")}.values():
        advice = f"pip install --upgrade {record.distribution}"
        try:
            checks = ask(record, "hyperkube_checks")
        except PluginError as exc:
            yield Finding(record.name, "problem", str(exc), advice)
            continue
        for check in checks:
            try:
                _check(check, Check, record)
                run = import_to_describe(check.run, check.name) if isinstance(check.run, str) else check.run
                yield from run()
            except Exception as exc:  # a plugin's code, which may raise anything
                detail = f"it could not be checked ({type(exc).__name__}: {exc})"
                yield Finding(getattr(check, "name", record.name), "problem", detail, advice)


def _records(launcher: HyperKube, what: str) -> tuple[PluginRecord, ...]:
    brand = launcher.group.partition(".")[0]
    return discover(f"{brand}.{what}", environment=launcher.environment)


def _check(item: object, kind: type[Tool] | type[Check], record: PluginRecord) -> None:
    if not isinstance(item, kind):
        raise DescriptionError(record.name, f"{record.target} offers {item!r}, which is no {kind.__name__}")
    if item.plugin_api > PLUGIN_API:
        raise PluginVersionError(
            record.name,
            f"{item.name!r} was written for version {item.plugin_api} of the plugin API and this hyperkube-core has"
            f" version {PLUGIN_API}: upgrade hyperkube-core",
        )
