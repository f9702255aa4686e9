"""Environment variables of containers, and the fields they may be read from.

Source: ValidateEnv, validateObjectFieldSelector, validateContainerResourceFieldSelector in core validation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from hyperkube_apiserver.registry.fields import checked, dns_label, dns_subdomain, qualified
from hyperkube_apiserver.registry.podspec.paths import validate_no_backsteps
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import config_map_key, relaxed_env_var_name
from hyperkube_machinery.quantity import Quantity

__all__ = ["validate_env", "validate_env_from", "validate_field_ref", "validate_resource_field_ref"]

Tree = Mapping[str, Any]

ENV_FIELDS = frozenset(
    {
        *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"),
        *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
    }
)
_POD_FIELDS = ENV_FIELDS | {
    *("metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"),
}
_RESOURCES = frozenset(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "memory", "ephemeral-storage")
)
_BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")


def validate_env(variables: Collection[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, variable in enumerate(variables):
        at = f"{path}[{index}]"
        if name := variable.get("name"):
            errors += checked(relaxed_env_var_name, name, f"{at}.name")
        else:
            errors.append(FieldError.required(f"{at}.name"))
        errors += _validate_source(variable, f"{at}.valueFrom")
    return errors


def _validate_source(variable: Tree, path: str) -> list[FieldError]:
    source = variable.get("valueFrom")
    if source is None:
        return []
    errors: list[FieldError] = []
    if (field := source.get("fieldRef")) is not None:
        errors += validate_field_ref(field, ENV_FIELDS, f"{path}.fieldRef")
    if (resource := source.get("resourceFieldRef")) is not None:
        errors += validate_resource_field_ref(resource, f"{path}.resourceFieldRef", in_volume=False)
    for name in ("configMapKeyRef", "secretKeyRef"):
        if (reference := source.get(name)) is not None:
            errors += dns_subdomain(reference.get("name") or "", f"{path}.{name}.name")
            errors += _validate_key(reference.get("key") or "", f"{path}.{name}.key")
    if (file := source.get("fileKeyRef")) is not None:
        errors += _validate_file_ref(file, f"{path}.fileKeyRef")
    known = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
    count = sum(source.get(name) is not None for name in known)
    if not count:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.append(FieldError.invalid(path, "", text))
    elif variable.get("value"):
        errors.append(FieldError.invalid(path, "", "may not be specified when `value` is not empty"))
    elif count > 1:
        errors.append(FieldError.invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def _validate_key(key: str, path: str) -> list[FieldError]:
    return checked(config_map_key, key, path) if key else [FieldError.required(path)]


def _validate_file_ref(file: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if volume := file.get("volumeName"):
        errors += dns_label(volume, f"{path}.volumeName")
    else:
        errors.append(FieldError.required(f"{path}.volumeName"))
    if key := file.get("key"):
        errors += checked(relaxed_env_var_name, key, f"{path}.key")
    else:
        errors.append(FieldError.required(f"{path}.key"))
    if text := file.get("path"):
        return errors + validate_no_backsteps(text, f"{path}.path")
    return [*errors, FieldError.required(f"{path}.path")]


def validate_env_from(sources: Collection[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, source in enumerate(sources):
        at = f"{path}[{index}]"
        if prefix := source.get("prefix"):
            errors += checked(relaxed_env_var_name, prefix, f"{at}.prefix")
        given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in given:
            if target := source[name].get("name"):
                errors += dns_subdomain(target[:-2] + "a" if target.endswith("-") else target, f"{at}.{name}.name")
            else:
                errors.append(FieldError.required(f"{at}.{name}.name"))
        if not given:
            errors.append(FieldError.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errors.append(FieldError.invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def validate_field_ref(reference: Tree, allowed: Collection[str], path: str) -> list[FieldError]:
    version, field = reference.get("apiVersion") or "", reference.get("fieldPath") or ""
    if not field:
        return [FieldError.required(f"{path}.fieldPath")]
    subscripted = re.fullmatch(r"(.*?)\['(.*)'\]", field, re.S)
    why = ""
    if version != "v1":
        why = f"unsupported pod version: {version}"
    elif subscripted and subscripted[1] not in ("metadata.annotations", "metadata.labels"):
        why = f"field label does not support subscript: {field}"
    elif not subscripted and field not in _POD_FIELDS and field != "spec.host":
        why = f"field label not supported: {field}"
    if why:
        return [FieldError.invalid(f"{path}.fieldPath", field, f"error converting fieldPath: {why}")]
    if subscripted:
        key = subscripted[2]
        return qualified(key.lower() if subscripted[1] == "metadata.annotations" else key, path)
    field = "spec.nodeName" if field == "spec.host" else field
    return [] if field in allowed else [FieldError.not_supported(f"{path}.fieldPath", field, sorted(allowed))]


def validate_resource_field_ref(reference: Tree, path: str, *, in_volume: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    resource = reference.get("resource") or ""
    huge = resource.startswith(("requests.hugepages-", "limits.hugepages-"))
    if in_volume and not reference.get("containerName"):
        errors.append(FieldError.required(f"{path}.containerName"))
    elif not resource:
        errors.append(FieldError.required(f"{path}.resource"))
    elif resource not in _RESOURCES and not huge:
        errors.append(FieldError.not_supported(f"{path}.resource", resource, sorted(_RESOURCES)))
    divisor = Quantity.parse(reference.get("divisor") or "0")
    if not divisor:
        return errors
    names = {"cpu": "cpu", "memory": "memory", "ephemeral-storage": "local ephemeral storage"}
    name = "hugepages" if huge else names.get(resource.partition(".")[2], "")
    if name == "cpu" and str(divisor) not in ("1m", "1"):
        text = "only divisor's values 1m and 1 are supported with the cpu resource"
        errors.append(FieldError.invalid(f"{path}.divisor", resource, text))
    elif name and name != "cpu" and str(divisor) not in _BYTE_DIVISORS:
        text = f"only divisor's values {', '.join(_BYTE_DIVISORS)} are supported with the {name} resource"
        errors.append(FieldError.invalid(f"{path}.divisor", resource, text))
    return errors
