"""What probes have come to, and what that makes of a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.runtime.values import Container, ContainerState

__all__ = ["Verdict", "Verdicts"]

Verdict = bool | None
"""True: passed; False: failed; None: not known yet."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """By container id, for containers that have such a probe."""

    liveness: Mapping[str, Verdict] = field(default_factory=dict)
    readiness: Mapping[str, Verdict] = field(default_factory=dict)
    startup: Mapping[str, Verdict] = field(default_factory=dict)

    def has_started(self, spec: Tree, container: Container) -> bool:
        """Whether it runs and its startup probe, if there is one, has passed."""
        if container.state is not ContainerState.RUNNING:
            return False
        return not spec.get("startupProbe") or self.startup.get(container.id) is True

    def is_ready(self, spec: Tree, container: Container) -> bool:
        """Whether it has started and its readiness probe, if there is one, passes."""
        if not self.has_started(spec, container):
            return False
        return not spec.get("readinessProbe") or self.readiness.get(container.id) is True
