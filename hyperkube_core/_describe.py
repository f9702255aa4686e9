"""Descriptions of servers: whether one can be used, and how another is made from it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hyperkube_core._discovery import GROUP
from hyperkube_core._errors import DescriptionError, PluginVersionError
from hyperkube_core._server import (
    PLUGIN_API,
    Blocking,
    Command,
    Coroutine,
    DerivedServer,
    Description,
    Server,
)

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_IMPORT = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")


def check(description: object, plugin: str) -> None:
    """Raises DescriptionError, or PluginVersionError, unless this is a description that can be used."""
    if not isinstance(description, Server | DerivedServer):
        raise DescriptionError(plugin, f"it registers {description!r}, which is no Server")

    def wrong(what: str) -> DescriptionError:
        return DescriptionError(plugin, f"server {description.name!r}: {what}")

    api = description.plugin_api
    if not isinstance(api, int) or api < 1:
        raise wrong(f"plugin_api is {api!r}, no version")
    if api > PLUGIN_API:
        raise PluginVersionError(
            plugin,
            f"server {description.name!r} was written for version {api} of the plugin API and this hyperkube-core"
            f" has version {PLUGIN_API}: upgrade hyperkube-core",
        )
    if not isinstance(description.aliases, Sequence) or isinstance(description.aliases, str):
        raise wrong(f"aliases are {description.aliases!r}, not a tuple of names")
    for name in (description.name, *description.aliases):
        if not isinstance(name, str) or not _NAME.match(name):
            raise wrong(f"{name!r} is no name: letters, digits, '-', '_' and '.' make one")
    if not isinstance(description.defaults, Mapping):
        raise wrong(f"defaults are {description.defaults!r}, not a mapping")
    for what in ("summary", "long"):
        if not isinstance(getattr(description, what), str | None):
            raise wrong(f"{what} is no text")
    if isinstance(description, Server):
        _check_server(description, wrong)


def _check_server(server: Server, wrong: Callable[[str], DescriptionError]) -> None:
    run = server.run
    if isinstance(run, Command):
        if not run.argv or isinstance(run.argv, str) or not all(isinstance(word, str) for word in run.argv):
            raise wrong(f"its command is {run.argv!r}, not a tuple of words")
    elif not isinstance(run, Coroutine | Blocking):
        raise wrong(f"run is {run!r}, neither Coroutine nor Blocking nor Command")
    elif not (callable(run.target) or (isinstance(run.target, str) and _IMPORT.match(run.target))):
        raise wrong(f"its target {run.target!r} is neither 'module:attribute' nor a function")
    for what in ("options", "commands", "event_loop", "version"):
        value = getattr(server, what)
        if isinstance(value, str) and value and not _IMPORT.match(value):
            raise wrong(f"{what} is {value!r}, not 'module:attribute'")
    if not (server.options is None or isinstance(server.options, str) or dataclasses.is_dataclass(server.options)):
        raise wrong(f"options are {server.options!r}, no dataclass")
    for what in ("start_seconds", "stop_seconds"):
        seconds = getattr(server, what)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise wrong(f"{what} is {seconds!r}, no number above 0")


def apply(derived: DerivedServer, base: Server) -> Server:
    """`base` under the brand of `derived`."""
    return dataclasses.replace(
        base,
        name=derived.name,
        summary=base.summary if derived.summary is None else derived.summary,
        long=base.long if derived.long is None else derived.long,
        aliases=derived.aliases,
        defaults={**base.defaults, **derived.defaults},
        after=base.after if derived.after is None else derived.after,
        alpha=derived.alpha,
    )


def derive(
    base: str | Server | DerivedServer,
    *,
    name: str,
    summary: str | None = None,
    long: str | None = None,
    aliases: tuple[str, ...] = (),
    defaults: Mapping[str, Any] | None = None,
    after: tuple[str, ...] | None = None,
    alpha: bool = False,
    group: str = GROUP,
) -> Description:
    """An installed server under a brand of its own: what isn't given stays as `base` has it.

    Named by its name (in `group`), `base` is looked up when the new server is used, and may be installed later.
    """
    derived = DerivedServer(
        base=base if isinstance(base, str) else base.name,
        name=name,
        summary=summary,
        long=long,
        aliases=aliases,
        defaults=dict(defaults or {}),
        after=after,
        alpha=alpha,
        group=group,
    )
    if isinstance(base, Server):
        return apply(derived, base)
    if isinstance(base, DerivedServer):
        return dataclasses.replace(
            derived,
            base=base.base,
            group=base.group,
            summary=base.summary if summary is None else summary,
            long=base.long if long is None else long,
            after=base.after if after is None else after,
            defaults={**base.defaults, **derived.defaults},
        )
    return derived
