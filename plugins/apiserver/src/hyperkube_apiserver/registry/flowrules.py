"""The rules of FlowSchemas: who asks, and for what. Source: k8s.io/kubernetes/pkg/apis/flowcontrol/validation."""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain
from hyperkube_apiserver.registry.strategy import Tree
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_label

__all__ = ["validate_flow_rule"]

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def validate_flow_rule(rule: Tree, path: str) -> list[FieldError]:
    """One rule: subjects, and requests for resources or other paths."""
    errors: list[FieldError] = []
    subjects = rule.get("subjects") or ()
    for index, subject in enumerate(subjects):
        errors += _validate_subject(subject, f"{path}.subjects[{index}]")
    if not subjects:
        errors.append(FieldError.required(f"{path}.subjects", "subjects must contain at least one value"))
    resources, others = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resources and not others:
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errors.append(FieldError.required(path, text))
    for index, one in enumerate(resources):
        errors += _validate_resources(one, f"{path}.resourceRules[{index}]")
    for index, one in enumerate(others):
        errors += _validate_paths(one, f"{path}.nonResourceRules[{index}]")
    return errors


def _validate_subject(subject: Tree, path: str) -> list[FieldError]:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        return [FieldError.not_supported(f"{path}.kind", kind, _SUBJECTS)]
    field = _SUBJECTS[kind]
    said = subject.get(field)
    if said is None:
        errors = [FieldError.required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")]
    elif kind == "ServiceAccount":
        errors = _validate_account(said, f"{path}.{field}")
    else:
        errors = [] if said.get("name") else [FieldError.required(f"{path}.{field}.name")]
    for other, its_field in _SUBJECTS.items():
        if other != kind and subject.get(its_field) is not None:
            text = f"{its_field} is forbidden when subject kind is not '{other}'"
            errors.append(FieldError.forbidden(f"{path}.{its_field}", text))
    return errors


def _validate_account(account: Tree, path: str) -> list[FieldError]:
    name, namespace = account.get("name") or "", account.get("namespace") or ""
    errors: list[FieldError] = []
    if not name:
        errors.append(FieldError.required(f"{path}.name"))
    elif name != "*":
        errors += dns_subdomain(name, f"{path}.name")
    if not namespace:
        errors.append(FieldError.required(f"{path}.namespace", "must specify namespace for service account"))
        return errors
    return errors + dns_label(namespace, f"{path}.namespace")


def _validate_verbs(rule: Tree, path: str) -> list[FieldError]:
    verbs = rule.get("verbs") or []
    if not verbs:
        return [FieldError.required(f"{path}.verbs", "verbs must contain at least one value")]
    if "*" in verbs:
        return _all_alone(verbs, f"{path}.verbs", "verbs")
    if not set(verbs) <= set(_VERBS):
        return [FieldError.not_supported(f"{path}.verbs", verbs, _VERBS)]
    return []


def _all_alone(values: Sequence[str], path: str, what: str) -> list[FieldError]:
    """Who says all need not say more."""
    text = f"if '*' is present, must not specify other {what}"
    return [FieldError.invalid(path, values, text)] if "*" in values and len(values) > 1 else []


def _validate_resources(rule: Tree, path: str) -> list[FieldError]:
    errors = _validate_verbs(rule, path)
    for field, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values = rule.get(field) or []
        if not values:
            errors.append(FieldError.required(f"{path}.{field}", f"resource rules must supply at least one {one}"))
        errors += _all_alone(values, f"{path}.{field}", many)
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.append(FieldError.required(f"{path}.namespaces", text))
    if "*" in namespaces:
        return errors + _all_alone(namespaces, f"{path}.namespaces", "namespaces")
    for index, namespace in enumerate(namespaces):
        for wrong in dns1123_label(namespace):
            text = f"each member of this list must be '*' or a DNS-1123 label; {wrong}"
            errors.append(FieldError.invalid(f"{path}.namespaces[{index}]", namespace, text))
    return errors


def _validate_paths(rule: Tree, path: str) -> list[FieldError]:
    errors = _validate_verbs(rule, path)
    paths = rule.get("nonResourceURLs") or []
    at = f"{path}.nonResourceURLs"
    if not paths:
        errors.append(FieldError.required(at, "nonResourceURLs must contain at least one value"))
    if "*" in paths:
        return errors + _all_alone(paths, at, "non-resource URLs")
    for index, one in enumerate(paths):
        if wrong := _wrong_path(one):
            errors.append(FieldError.invalid(f"{at}[{index}]", one, wrong))
    return errors


def _wrong_path(path: str) -> str:
    if not path:
        return "must not be empty"
    if not path.startswith("/"):
        return "must start with slash"
    if " " in path:
        return "must not contain white-space"
    if "//" in path:
        return "must not contain double slash"
    if path.count("*") > 1 or ("*" in path and not path.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""
