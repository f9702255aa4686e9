"""AlwaysAdmit and AlwaysDeny. Source: k8s.io/kubernetes/plugin/pkg/admission/{admit,deny}."""

from __future__ import annotations

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes

__all__ = ["AlwaysAdmit", "AlwaysDeny"]


class AlwaysAdmit(Plugin):
    """Has no objection to anything, as if it were not there."""


class AlwaysDeny(Plugin):
    """Lets nothing be written at all."""

    def admit(self, attributes: Attributes) -> Waiting:
        """No."""
        raise forbidden(attributes, "admission control is denying all modifications")
