"""hk: one command that becomes any server that is installed beside it.

What a plugin needs is here; everything else is private. A name is imported when it is first used, so that importing
this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperkube_core._clock import Clock, SystemClock
    from hyperkube_core._cluster import ClusterHome, Contribution, Groundwork, Part, Report
    from hyperkube_core._describe import derive
    from hyperkube_core._errors import (
        ClusterInUse,
        ClusterNotReady,
        CommandEnded,
        DescriptionError,
        HyperkubeError,
        Interrupted,
        NameClash,
        NotProvided,
        PluginError,
        PluginLoadError,
        PluginVersionError,
        ServerCrashed,
        ServerError,
        ServerKilled,
        ServerNotFound,
        ServerNotReady,
        ServerReturned,
        SettingsError,
        UnknownFlag,
        UsageError,
    )
    from hyperkube_core._flagtable import FlagTable
    from hyperkube_core._home import cluster_folder
    from hyperkube_core._hookspecs import hookimpl
    from hyperkube_core._launcher import HyperKube
    from hyperkube_core._logging import verbose
    from hyperkube_core._offers import Check, Finding, Tool
    from hyperkube_core._options import ForeignFlag, flag
    from hyperkube_core._server import (
        PLUGIN_API,
        Blocking,
        Command,
        Context,
        Coroutine,
        DerivedServer,
        Description,
        Invocation,
        Ready,
        Server,
        Spawned,
    )

_HOMES = {
    "_clock": ("Clock", "SystemClock"),
    "_cluster": ("ClusterHome", "Contribution", "Groundwork", "Part", "Report"),
    "_describe": ("derive",),
    "_errors": (
        "ClusterInUse",
        "ClusterNotReady",
        "CommandEnded",
        "DescriptionError",
        "HyperkubeError",
        "Interrupted",
        "NameClash",
        "NotProvided",
        "PluginError",
        "PluginLoadError",
        "PluginVersionError",
        "ServerCrashed",
        "ServerError",
        "ServerKilled",
        "ServerNotFound",
        "ServerNotReady",
        "ServerReturned",
        "SettingsError",
        "UnknownFlag",
        "UsageError",
    ),
    "_flagtable": ("FlagTable",),
    "_home": ("cluster_folder",),
    "_hookspecs": ("hookimpl",),
    "_launcher": ("HyperKube",),
    "_logging": ("verbose",),
    "_offers": ("Check", "Finding", "Tool"),
    "_options": ("ForeignFlag", "flag"),
    "_server": (
        "PLUGIN_API",
        "Blocking",
        "Command",
        "Context",
        "Coroutine",
        "DerivedServer",
        "Description",
        "Invocation",
        "Ready",
        "Server",
        "Spawned",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "PLUGIN_API",
    "Blocking",
    "Check",
    "Clock",
    "ClusterHome",
    "ClusterInUse",
    "ClusterNotReady",
    "Command",
    "CommandEnded",
    "Context",
    "Contribution",
    "Coroutine",
    "DerivedServer",
    "Description",
    "DescriptionError",
    "Finding",
    "FlagTable",
    "ForeignFlag",
    "Groundwork",
    "HyperKube",
    "HyperkubeError",
    "Interrupted",
    "Invocation",
    "NameClash",
    "NotProvided",
    "Part",
    "PluginError",
    "PluginLoadError",
    "PluginVersionError",
    "Ready",
    "Report",
    "Server",
    "ServerCrashed",
    "ServerError",
    "ServerKilled",
    "ServerNotFound",
    "ServerNotReady",
    "ServerReturned",
    "SettingsError",
    "Spawned",
    "SystemClock",
    "Tool",
    "UnknownFlag",
    "UsageError",
    "cluster_folder",
    "derive",
    "flag",
    "hookimpl",
    "verbose",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
