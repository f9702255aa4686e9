"""APIServices. Source: k8s.io/kube-aggregator/pkg/{registry/apiservice,apis/apiregistration}."""

from __future__ import annotations

import base64

from hyperkube_apiserver.registry.fields import checked, dns_subdomain
from hyperkube_apiserver.registry.meta import path_segment
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext, keep, keep_meta
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1035_label, port_number

__all__ = ["APIServices"]

_SERVICE_PORT = 443


class APIServices(Strategy):
    """A version of a group, and who serves it: this server (Local), or a service that requests go on to."""

    allows_unconditional_update = False
    knows_finalizers = False
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        service = (obj.get("spec") or {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = _SERVICE_PORT

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        obj["status"] = {}
        if (obj.get("spec") or {}).get("service") is None:
            condition = {
                "type": "Available",
                "status": "True",
                "lastTransitionTime": context.now,
                "reason": "Local",
                "message": "Local APIServices are always available",
            }
            obj["status"] = {"conditions": [condition]}

    def prepare_status_update(self, obj: Tree, old: Tree) -> None:
        keep(obj, old, "spec")
        for field in ("labels", "annotations", "finalizers", "ownerReferences"):
            keep_meta(obj, old, field)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return _validate_name(obj) + _validate_spec(obj.get("spec") or {})

    def name_rule(self, name: str, prefix: bool) -> list[str]:
        return path_segment(name, False)

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        known = ("True", "False", "Unknown")
        return [
            FieldError.not_supported(f"status.conditions[{index}].status", condition.get("status") or "", known)
            for index, condition in enumerate((obj.get("status") or {}).get("conditions") or ())
            if condition.get("status") not in known
        ]


def _validate_name(obj: Tree) -> list[FieldError]:
    """The name is made of what is served."""
    spec = obj.get("spec") or {}
    required = f"{spec.get('version') or ''}.{spec.get('group') or ''}"
    text = f'must be `spec.version+"."+spec.group`: "{required}"'
    return [
        FieldError.invalid(f"metadata.{field}", name, text)
        for field, name in (("generateName", meta.metadata(obj).get("generateName")), ("name", meta.name(obj)))
        if name and name != required and not path_segment(name, False)
    ]


def _validate_spec(spec: Tree) -> list[FieldError]:
    group, version = spec.get("group") or "", spec.get("version") or ""
    errors: list[FieldError] = []
    if group:
        errors += dns_subdomain(group, "spec.group")
    elif version != "v1":
        text = "only v1 may have an empty group and it better be legacy kube"
        errors.append(FieldError.required("spec.group", text))
    errors += checked(dns1035_label, version, "spec.version")
    for field, most in (("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)):
        priority = spec.get(field) or 0
        if not 0 < priority <= most:
            errors.append(FieldError.invalid(f"spec.{field}", priority, f"must be positive and less than {most}"))
    service = spec.get("service")
    return errors + (_validate_local(spec) if service is None else _validate_service(spec, service))


def _validate_local(spec: Tree) -> list[FieldError]:
    errors: list[FieldError] = []
    if spec.get("caBundle"):
        size = len(base64.b64decode(spec["caBundle"]))
        text = "local APIServices may not have a caBundle"
        errors.append(FieldError.invalid("spec.caBundle", f"{size} bytes", text))
    if spec.get("insecureSkipTLSVerify"):
        text = "local APIServices may not have insecureSkipTLSVerify"
        errors.append(FieldError.invalid("spec.insecureSkipTLSVerify", True, text))
    return errors


def _validate_service(spec: Tree, service: Tree) -> list[FieldError]:
    errors = [FieldError.required(f"spec.service.{field}") for field in ("namespace", "name") if not service.get(field)]
    port = service.get("port") or 0
    if wrong := port_number(port):
        errors.append(FieldError.invalid("spec.service.port", port, "port is not valid: " + ", ".join(wrong)))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        text = "may not be true if caBundle is present"
        errors.append(FieldError.invalid("spec.insecureSkipTLSVerify", True, text))
    return errors
