"""The hooks that a plugin may implement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from hyperkube_core._cluster import Contribution
    from hyperkube_core._offers import Check, Tool
    from hyperkube_core._server import Description

PROJECT = "hyperkube"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def hyperkube_servers() -> Iterable[Description]:
    """The servers that this plugin offers.

    Called on the plugin that an entry point loaded, and on no other. It must be quick and import no server: it
    runs for `hk --help`.
    """
    return ()


@hookspec
def hyperkube_clusters() -> Iterable[Contribution]:
    """What this plugin contributes to the clusters of `hk up`.

    Called on a plugin that an entry point of the group `hyperkube.clusters` loaded. It must be quick and import no
    server.
    """
    return ()


@hookspec
def hyperkube_commands() -> Iterable[Tool]:
    """The commands that this plugin adds to the launcher.

    Called on a plugin that an entry point of the group `hyperkube.commands` loaded, the name of which is a command's.
    """
    return ()


@hookspec
def hyperkube_checks() -> Iterable[Check]:
    """What this plugin has `hk doctor` check.

    Called on a plugin that an entry point of the group `hyperkube.checks` loaded.
    """
    return ()
