"""Events of core v1, and what field selectors see of them.

Source: k8s.io/kubernetes/pkg/registry/core/event, k8s.io/kubernetes/pkg/apis/core/validation/events.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from hyperkube_apiserver.registry.fields import dns_subdomain, qualified
from hyperkube_apiserver.registry.strategy import Strategy, Tree, field_text
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["Events"]

_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}


class Events(Strategy):
    """Written by those that do not wait for an answer, so a PUT creates and little is checked."""

    allows_create_on_update = True

    def validate(self, obj: Tree) -> list[FieldError]:
        # Upstream leaves the name to the check that every kind has.
        return self.validate_object(obj) or self._validate_path_name(obj)

    def validate_update(self, obj: Tree, old: Tree, subresource: str = "") -> list[FieldError]:
        return self.validate_common_update(obj, old) + self.validate_object(obj)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        namespace = meta.namespace(obj)
        involved = (obj.get("involvedObject") or {}).get("namespace") or ""
        errors: list[FieldError] = []
        if obj.get("eventTime"):
            matches = bool(involved) or namespace in ("default", "kube-system")
        else:
            matches = namespace == involved if involved else namespace in ("", "default")
        if not matches:
            errors.append(FieldError.invalid("involvedObject.namespace", involved, "does not match event.namespace"))
        if obj.get("eventTime"):
            errors += _validate_series_fields(obj)
        return errors + dns_subdomain(namespace, "namespace")

    def field_values(self, obj: Tree) -> Mapping[str, str]:
        values = dict(super().field_values(obj))
        values["source"] = field_text(obj, "source.component") or field_text(obj, "reportingComponent")
        return values


def _validate_series_fields(obj: Tree) -> list[FieldError]:
    """What a reporter that sets eventTime must say of itself."""
    controller = obj.get("reportingComponent") or ""
    errors = [] if controller else [FieldError.required("reportingComponent")]
    errors += qualified(controller, "reportingComponent")
    for field, limit in _LIMITS.items():
        value = obj.get(field) or ""
        if not value and field != "message":
            errors.append(FieldError.required(field))
        if len(value.encode()) > limit:
            errors.append(FieldError.invalid(field, "", f"can have at most {limit} characters"))
    return errors
