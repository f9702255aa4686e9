"""What plugins offer beside servers: commands of their own, and checks for `hk doctor`.

Each is an entry point: of the group `hyperkube.commands` by the command's name, of `hyperkube.checks` by any name (for
a brand's launcher of its own groups). Both load a light plugin module, whose hook says what there is; what is behind
it is imported when it is called. `group` is the launcher's own group, of servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperkube_core._discovery import discover
from hyperkube_core._errors import DescriptionError, PluginError, PluginVersionError
from hyperkube_core._offers import Check, Finding, Tool
from hyperkube_core._registry import ask, import_to_describe
from hyperkube_core._server import PLUGIN_API

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hyperkube_core._discovery import PluginRecord


def tool_names(group: str, environment: Mapping[str, str]) -> list[str]:
    """The names of all tools; imports nothing."""
    return sorted({record.name for record in _records(group, environment, "commands")})


def find_tool(group: str, environment: Mapping[str, str], name: str) -> Tool | None:
    """The tool of that name, importing its plugin and no other. Raises PluginError."""
    for record in _records(group, environment, "commands"):
        if record.name == name:
            for tool in ask(record, "hyperkube_commands"):
                _check(tool, Tool, record)
                if tool.name == name:
                    return tool  # type: ignore[no-any-return]
            raise DescriptionError(name, f"{record.target} offers no command of that name")
    return None


def tools(group: str, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each tool's name and what it does, or why it cannot be used."""
    for name in tool_names(group, environment):
        try:
            tool = find_tool(group, environment, name)
        except PluginError as exc:
            yield name, f"BROKEN: {exc}"
        else:
            yield name, tool.summary if tool is not None else ""


def findings(group: str, environment: Mapping[str, str]) -> Iterator[Finding]:
    """What the checks of all plugins come to; one that fails is a finding itself."""
    for record in {record.target: record for record in _records(group, environment, "checks")}.values():
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


def _records(group: str, environment: Mapping[str, str], what: str) -> tuple[PluginRecord, ...]:
    brand = group.partition(".")[0]
    return discover(f"{brand}.{what}", environment=environment)


def _check(item: object, kind: type[Tool] | type[Check], record: PluginRecord) -> None:
    if not isinstance(item, kind):
        raise DescriptionError(record.name, f"{record.target} offers {item!r}, which is no {kind.__name__}")
    if item.plugin_api > PLUGIN_API:
        raise PluginVersionError(
            record.name,
            f"{item.name!r} was written for version {item.plugin_api} of the plugin API and this hyperkube-core has"
            f" version {PLUGIN_API}: upgrade hyperkube-core",
        )
