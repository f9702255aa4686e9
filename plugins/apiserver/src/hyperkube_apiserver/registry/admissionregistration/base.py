"""What all kinds of admissionregistration.k8s.io have alike."""

from __future__ import annotations

from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["Registration"]

_STATIC_SUFFIX = ".static.k8s.io"


class Registration(Strategy):
    """A configuration of admission."""

    allows_unconditional_update = False
    counts_generation = True
    knows_finalizers = False
    evaluates = True

    def validate_own_meta_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        return [] if subresource == "status" else self.validate_meta(obj)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        """Warn of names that configurations read from files will have, once they can be."""
        if not meta.name(obj).endswith(_STATIC_SUFFIX):
            return []
        why = "are reserved for static manifest-based configurations and cannot be managed via the API"
        return [f'metadata.name: names ending with "{_STATIC_SUFFIX}" {why}']
