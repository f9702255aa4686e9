"""The launcher's own commands: their names, which no server can have, and what each does."""

from __future__ import annotations

from collections.abc import Mapping

COMMANDS: Mapping[str, str] = {
    "up": "start a cluster of all that is installed",
    "down": "stop a cluster, and leave nothing behind",
    "status": "tell how a cluster fares, and where it is reached",
    "logs": "show what a cluster's servers log",
    "run": "run many servers together, each with its own flags",
    "plugins": "list what is installed, and what is broken",
    "doctor": "check this environment and say what to do",
    "alpha": "run a server whose command line may still change",
}
"""The launcher's own commands and what each does."""

RESERVED = frozenset({*COMMANDS, "help", "completion", "make-symlinks"})
"""Names that no server can have: those of commands, there and to come."""

ALPHA_WARNING = "Warning: alpha command syntax is unstable!"
