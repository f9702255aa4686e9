"""What this distribution adds to the launcher beside its server."""

from __future__ import annotations

from hyperkube_core import Check, Tool, hookimpl


@hookimpl
def hyperkube_commands() -> list[Tool]:
    """The commands."""
    return [
        Tool(
            name="image",
            app="hyperkube_kubelet.images.tool:app",
            summary="load, list and remove the images of a node",
        )
    ]


@hookimpl
def hyperkube_checks() -> list[Check]:
    """What `hk doctor` checks for pods."""
    return [
        Check(name="pods", run="hyperkube_kubelet.runtime.process.checks:findings"),
        Check(name="containers", run="hyperkube_kubelet.runtime.cri.checks:findings"),
    ]
