"""Everything that hyperkube_core raises on purpose.

    HyperkubeError                      1   anything that ends a command
    ├── UsageError                      2   the command line cannot be understood
    │   ├── ServerNotFound              2   nobody offers a server of that name
    │   └── UnknownFlag                 2   the command has no such flag
    ├── SettingsError                   2   a flag, variable or file has a bad value
    ├── PluginError                     3   a plugin cannot be used
    │   ├── PluginLoadError             3   importing it failed
    │   ├── PluginVersionError          3   it was written for a newer plugin API
    │   ├── DescriptionError            3   what it registered is not a description
    │   └── NameClash                   3   another plugin has that name already
    ├── ServerError                     4   a server failed
    │   ├── ServerCrashed               4   it raised
    │   │   └── ServerKilled            4   a signal ended its process
    │   ├── ServerReturned              4   it stopped serving by itself
    │   ├── ServerNotReady              4   it was not ready in time
    │   └── NotProvided                 4   it asked for what no server here provides
    ├── ClusterInUse                    1   a cluster runs already
    ├── ClusterNotReady                 4   a cluster was not ready in time, though its servers were
    ├── CommandEnded                    n   a command ended with a status of its own
    └── Interrupted                   130   a server ignored the request to stop

The number is the exit status of `hk`. Callers branch on class and attributes, never on text.
"""

from __future__ import annotations


class HyperkubeError(Exception):
    """Anything that ends a command; `exit_code` is what the shell sees."""

    exit_code = 1


class UsageError(HyperkubeError):
    """The command line cannot be understood."""

    exit_code = 2


class ServerNotFound(UsageError):
    """Nobody offers a server called `name`; `suggestions` are near misses, best first."""

    def __init__(self, name: str, suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(f"Server not found: {name}")
        self.name = name
        self.suggestions = suggestions


class UnknownFlag(UsageError):
    """The command has no flag `flag` (with its dashes); `suggestions` are near misses."""

    def __init__(self, flag: str, suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(f"unknown flag: {flag}")
        self.flag = flag
        self.suggestions = suggestions


class SettingsError(HyperkubeError):
    """`setting` has a value that cannot be used; `source` says where the value stood."""

    exit_code = 2

    def __init__(self, setting: str, source: str, message: str) -> None:
        super().__init__(f"{source}: {message}")
        self.setting = setting
        self.source = source


class PluginError(HyperkubeError):
    """The plugin of the server `plugin` cannot be used; `reason` says why without naming it."""

    exit_code = 3

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(f"plugin {plugin!r}: {message}")
        self.plugin = plugin
        self.reason = message


class PluginLoadError(PluginError):
    """Importing the plugin, or calling its hook, failed."""


class PluginVersionError(PluginError):
    """The plugin was written for a newer plugin API than this core has."""


class DescriptionError(PluginError):
    """What the plugin registered is not a usable description."""


class NameClash(PluginError):
    """Another plugin has the name already; both are named in the message."""


class ServerError(HyperkubeError):
    """The server `server` failed."""

    exit_code = 4

    def __init__(self, server: str, message: str) -> None:
        super().__init__(f"server {server!r}: {message}")
        self.server = server


class ServerCrashed(ServerError):
    """The server raised; the cause is chained."""


class ServerKilled(ServerCrashed):
    """The process of the server was ended by the signal `signum`."""

    def __init__(self, server: str, message: str, signum: int) -> None:
        super().__init__(server, message)
        self.signum = signum


class ServerReturned(ServerError):
    """The server stopped serving by itself, without an error."""


class ServerNotReady(ServerError):
    """The server did not become ready within its `start_seconds`."""


class NotProvided(ServerError):
    """The server required something that no server in this process provides."""


class ClusterInUse(HyperkubeError):
    """The cluster runs already, or processes of it do."""


class ClusterNotReady(HyperkubeError):
    """The cluster was not ready in time, though its servers were."""

    exit_code = 4


class CommandEnded(HyperkubeError):
    """A command ended with a status of its own, and has said why unless there is a message."""

    def __init__(self, exit_code: int, message: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interrupted(HyperkubeError):
    """A server ignored the request to stop and was abandoned."""

    exit_code = 130
