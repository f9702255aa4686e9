"""AlwaysAdmit and AlwaysDeny. Source: k8s.io/kubernetes/plugin/pkg/admission/{admit,deny}."""

from __future__ import annotations

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import Plugin, Waiting
from hyperkube_apiserver.authn import SERVER
from hyperkube_apiserver.registry.attributes import Attributes

__all__ = ["AlwaysAdmit", "AlwaysDeny"]


class AlwaysAdmit(Plugin):
    """Has no objection to anything, as if it were not there."""


class AlwaysDeny(Plugin):
    """Lets nothing be written but by the server itself, which upstream's does not start with."""

    def admit(self, attributes: Attributes) -> Waiting:
        """No."""
        if attributes.identity is SERVER:
            return None
        raise forbidden(attributes, "admission control is denying all modifications")
