"""What an admission plugin is."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admissionplugins import chosen
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.resources import Resource

__all__ = ["CREATE", "DEFAULT_ADMISSION", "DELETE", "EVERY", "UPDATE", "AdmissionSettings", "Plugin", "Waiting"]

CREATE = frozenset((Operation.CREATE,))
UPDATE = frozenset((Operation.UPDATE,))
DELETE = frozenset((Operation.DELETE,))
EVERY = frozenset(Operation)

Waiting = Awaitable[None] | None
"""What a plugin answers: nothing if it is done, or what remains to be waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionSettings:
    """Which plugins are asked, and what they are told."""

    plugins: tuple[str, ...] = chosen()
    not_ready_seconds: int = 300  # --default-not-ready-toleration-seconds
    unreachable_seconds: int = 300  # --default-unreachable-toleration-seconds
    configurations: Mapping[str, Any] = field(default_factory=dict)  # by plugin; --admission-control-config-file


DEFAULT_ADMISSION = AdmissionSettings()


class Plugin:
    """One rule about what may be written, or one default that needs more than the object to be known.

    A plugin overrides `admit`, `validate` or both, plain or as coroutines: most decide at once, and those don't make
    a write wait. Either raises APIError to refuse.
    """

    operations: ClassVar[frozenset[Operation]] = EVERY
    about: ClassVar[tuple[str, ...]] = ()
    """Which resources: `pods`, `pods/status`, `leases.coordination.k8s.io`; all of them if none is named."""

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        self.cluster = cluster
        self.settings = settings

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """Whether the plugin has a say in such requests. Asked once for each sort of request."""
        if operation not in self.operations:
            return False
        called = f"{resource.qualified}/{subresource}" if subresource else resource.qualified
        return not self.about or called in self.about

    def admit(self, attributes: Attributes) -> Waiting:
        """Change `attributes.obj` in place, or refuse."""
        return None

    def validate(self, attributes: Attributes) -> Waiting:
        """Refuse, or let pass; changes nothing."""
        return None
