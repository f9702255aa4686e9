"""DenyServiceExternalIPs. Source: k8s.io/kubernetes/plugin/pkg/admission/network/denyserviceexternalips."""

from __future__ import annotations

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes

__all__ = ["DenyServiceExternalIPs"]


class DenyServiceExternalIPs(Plugin):
    """No service gets an external address that it did not have before."""

    operations = CREATE | UPDATE
    about = ("services",)

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for a new address."""
        now, before = (
            set(((one or {}).get("spec") or {}).get("externalIPs") or ()) for one in (attributes.obj, attributes.old)
        )
        if now - before:
            raise forbidden(attributes, "Use of external IPs is denied by admission control")
        return None
