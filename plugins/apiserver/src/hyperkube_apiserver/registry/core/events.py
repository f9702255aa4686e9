"""Events of core v1, and what field selectors see of them; and the rules of events.k8s.io, which is stored as core.

Source: k8s.io/kubernetes/pkg/registry/core/event, k8s.io/kubernetes/pkg/apis/core/validation/events.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from hyperkube_apiserver.registry.fields import dns_subdomain, qualified
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.meta import IMMUTABLE
from hyperkube_apiserver.registry.strategy import Strategy, Tree, field_text
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["Events", "EventsV1"]

_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
# What does not change, in upstream's order; the reason is looked at twice.
_KEPT = (
    *("involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type"),
    *("eventTime", "action", "related", "reportingComponent", "reportingInstance"),
)
_STRUCTS = {"involvedObject": "ObjectReference", "related": "ObjectReference", "source": "EventSource"}
_ZEROS: Mapping[str, Any] = {"firstTimestamp": None, "lastTimestamp": None, "eventTime": None, "count": 0}


class Events(Strategy):
    """Written by those that do not wait for an answer, so a PUT creates and little is checked."""

    allows_create_on_update = True
    default_propagation = "Unsupported"
    reporter: ClassVar[str] = "reportingComponent"  # as causes call it

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
            errors += self._validate_reporter(obj)
        return errors + dns_subdomain(namespace, "namespace")

    def field_values(self, obj: Tree) -> Mapping[str, str]:
        values = dict(super().field_values(obj))
        values["source"] = field_text(obj, "source.component") or field_text(obj, "reportingComponent")
        return values

    def _validate_reporter(self, obj: Tree) -> list[FieldError]:
        """What a reporter that sets eventTime must say of itself."""
        controller = obj.get("reportingComponent") or ""
        errors = [] if controller else [FieldError.required(self.reporter)]
        errors += qualified(controller, self.reporter)
        for field, limit in _LIMITS.items():
            value = obj.get(field) or ""
            if not value and field != "message":
                errors.append(FieldError.required(field))
            if len(value.encode()) > limit:
                errors.append(FieldError.invalid(field, "", f"can have at most {limit} characters"))
        return errors


class EventsV1(Events):
    """Written through events.k8s.io/v1: an event there says more of itself, and only its series changes."""

    reporter = "reportingController"

    def validate(self, obj: Tree) -> list[FieldError]:
        errors = self.validate_object(obj) + self.validate_meta(obj) + _validate_series(obj)
        if not obj.get("eventTime"):
            errors.append(FieldError.required("eventTime"))
        kind = obj.get("type") or ""
        if kind not in ("Normal", "Warning"):
            errors.append(FieldError.invalid("type", "", f"has invalid value: {kind}"))
        source = obj.get("source") or {}
        for field, value in (
            ("firstTimestamp", obj.get("firstTimestamp")),
            ("lastTimestamp", obj.get("lastTimestamp")),
            ("count", obj.get("count")),
            ("source", source.get("component") or source.get("host")),
        ):
            if value:
                errors.append(FieldError.invalid(field, "", "needs to be unset"))
        return errors or self._validate_path_name(obj)

    def validate_update(self, obj: Tree, old: Tree, subresource: str = "") -> list[FieldError]:
        errors = super().validate_update(obj, old) + self.validate_own_meta_update(obj, old, subresource)
        if obj.get("series") != old.get("series"):
            errors += _validate_series(obj)
        for field in _KEPT:
            value, before = (_as_told(tree, field) for tree in (obj, old))
            if value != before:
                path = self.reporter if field == "reportingComponent" else field
                errors.append(FieldError.invalid(path, value, IMMUTABLE))
        return errors


def _validate_series(obj: Tree) -> list[FieldError]:
    series = obj.get("series")
    errors: list[FieldError] = []
    if series is None:
        return errors
    if (series.get("count") or 0) < 2:
        errors.append(FieldError.invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        errors.append(FieldError.required("series.lastObservedTime"))
    return errors


def _as_told(event: Tree, field: str) -> Any:
    """The value of a field as a refusal shows it."""
    value = event.get(field)
    if field in _STRUCTS:
        return as_internal(value or {}, _STRUCTS[field]) if value is not None or field != "related" else None
    return value or _ZEROS.get(field, "")
