"""`hk doctor`: check the environment that servers would run in, and say what to do."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from hyperkube_core import _discovery
from hyperkube_core._commands.plugins import Output
from hyperkube_core._errors import CommandEnded, NameClash, PluginVersionError
from hyperkube_core._extras import findings
from hyperkube_core._lazy import SETTINGS, new_app
from hyperkube_core._offers import Finding
from hyperkube_core._table import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hyperkube_core._flags import Parsed
    from hyperkube_core._launcher import HyperKube

FEWEST_DESCRIPTORS = 4096
"""A thousand watchers and their connections fit; many distributions start shells with 1024."""
LEAST_FREE_BYTES = 256 * 1024**2
OLDEST_SQLITE = (3, 35, 0)
"""The first with RETURNING, which stores use."""


def command(launcher: HyperKube, before: Parsed) -> Any:
    """The command; nothing that stands before its name matters to it."""
    app = new_app()

    @app.command("doctor", context_settings=SETTINGS)
    def doctor(
        output: Annotated[Output, typer.Option("--output", "-o", help="How to write the findings.")] = Output.TABLE,
    ) -> None:
        """Check the environment that servers would run in, and say what to do; ends with 1 if there is a problem."""
        found = list(examine(launcher))
        healthy = all(finding.state != "problem" for finding in found)
        if output is Output.JSON:
            document = {"healthy": healthy, "findings": [asdict(finding) for finding in found]}
            launcher.print(json.dumps(document, indent=2) + "\n")
        else:
            rows = [(item.check, item.state, item.detail, item.advice) for item in found]
            titles = ("CHECK", "STATE", "FOUND", "WHAT TO DO")
            launcher.print(table(titles, rows, launcher.output or sys.stdout))
        if not healthy:
            raise CommandEnded(1)

    return get_command(app)


def examine(launcher: HyperKube) -> Iterator[Finding]:
    """Every check's findings."""
    for check in CHECKS:
        yield from check(launcher)


def _python(launcher: HyperKube) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", f"{version} at {sys.executable}")


def _plugins(launcher: HyperKube) -> Iterator[Finding]:
    limit = launcher.environment.get(_discovery.LIMIT_VARIABLE)
    if limit is not None:
        advice = f"unset {_discovery.LIMIT_VARIABLE} to have all that is installed"
        yield Finding("plugins", "warning", f"{_discovery.LIMIT_VARIABLE}={limit} limits what is considered", advice)
        for name in _discovery.unmatched(_discovery.discover(launcher.group, environment={}), limit):
            detail = f"{_discovery.LIMIT_VARIABLE} names {name!r}, which no distribution or server is called"
            yield Finding(
                "plugins", "warning", detail, f"'{launcher.name} plugins' lists what there is when it is unset"
            )
    working = 0
    reachable = set(launcher.names())
    for item in launcher.servers():
        if item.server is not None:
            working += 1
            for alias in item.server.aliases:
                if alias not in reachable:
                    detail = f"server {item.name!r} says that it is called {alias!r}, but has no entry point for it"
                    yield Finding("plugins", "warning", detail, "tell the authors of its distribution")
            continue
        distribution = item.record.distribution if item.record is not None else ""
        yield Finding("plugins", "problem", str(item.error), _advice(item.error, distribution))
    yield Finding("plugins", "ok", f"{working} {'server works' if working == 1 else 'servers work'}")


def _advice(error: Exception | None, distribution: str) -> str:
    if isinstance(error, NameClash):
        return (
            f"uninstall one of the two, or name those that count in {_discovery.LIMIT_VARIABLE}"
            " (distributions or servers, comma-separated)"
        )
    if isinstance(error, PluginVersionError):
        return "pip install --upgrade hyperkube-core"
    return f"pip install --upgrade {distribution}, or uninstall it" if distribution else "mend the launcher's own code"


def _twice(launcher: HyperKube) -> Iterator[Finding]:
    for name, places in _discovery.installed_twice(launcher.group).items():
        advice = f"pip uninstall {name} until none is left, then install it once"
        yield Finding("distributions", "warning", f"{name} is installed more than once: {'; '.join(places)}", advice)
    quick = _discovery.discover(launcher.group, environment=launcher.environment)
    thorough = _discovery.discover_thoroughly(launcher.group, environment=launcher.environment)
    if quick != thorough:
        odd = sorted({record.distribution for record in {*quick} ^ {*thorough}})
        detail = f"the metadata of {', '.join(odd)} is read differently by importlib-metadata"
        yield Finding("distributions", "problem", detail, f"pip install --force-reinstall {' '.join(odd)}")


def _requirements(launcher: HyperKube) -> Iterator[Finding]:
    from hyperkube_core._requirements import unmet

    names = {"hyperkube-core", *(record.distribution for record in _discovery.discover(launcher.group))}
    found = False
    for name in sorted(names):
        for requirement, installed in unmet(name):
            found = True
            has = f"{installed} is installed" if installed else "is not installed"
            yield Finding("requirements", "problem", f"{name} needs {requirement}, which {has}", f"pip install {name}")
    if not found:
        yield Finding("requirements", "ok", "everything that the distributions with servers need is installed")


def _sqlite(launcher: HyperKube) -> Iterator[Finding]:
    try:
        import sqlite3
    except ImportError:
        advice = "use a Python that was built with SQLite"
        yield Finding("sqlite", "problem", "this Python has no sqlite3", advice)
        return
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        yield Finding("sqlite", "problem", sqlite3.sqlite_version, f"use a Python with SQLite {oldest} or newer")
    else:
        yield Finding("sqlite", "ok", sqlite3.sqlite_version)


def _descriptors(launcher: HyperKube) -> Iterator[Finding]:
    try:
        import resource
    except ImportError:  # not a Unix
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    if soft != resource.RLIM_INFINITY and soft < FEWEST_DESCRIPTORS:
        most = FEWEST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, FEWEST_DESCRIPTORS)
        yield Finding("file descriptors", "warning", f"at most {shown}", f"ulimit -n {most}, before many connections")
    else:
        yield Finding("file descriptors", "ok", f"at most {shown}")


def _disk(launcher: HyperKube) -> Iterator[Finding]:
    import shutil
    import tempfile
    from pathlib import Path

    for what, folder in (("current folder", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        detail = f"{free / 1024**3:.1f} GiB free for {what} ({folder})"
        if free < LEAST_FREE_BYTES:
            yield Finding("disk", "warning", detail, "make room, or keep data elsewhere")
        else:
            yield Finding("disk", "ok", detail)


def _optional(launcher: HyperKube) -> Iterator[Finding]:
    from importlib.util import find_spec

    for module, distribution, purpose in (
        ("uvloop", "uvloop", "servers are faster on it"),
        ("yaml", "pyyaml", "config files may be YAML with it"),
    ):
        if find_spec(module) is None:
            yield Finding(
                "optional", "warning", f"{distribution} is not installed", f"pip install {distribution}: {purpose}"
            )


def _of_plugins(launcher: HyperKube) -> Iterator[Finding]:
    return findings(launcher.group, launcher.environment)


CHECKS: tuple[Callable[[HyperKube], Iterator[Finding]], ...] = (
    _python,
    _plugins,
    _twice,
    _requirements,
    _sqlite,
    _descriptors,
    _disk,
    _optional,
    _of_plugins,
)
