"""rbac.authorization.k8s.io/v1. Source: k8s.io/kubernetes/pkg/{registry,apis}/rbac."""

from __future__ import annotations

from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.fields import dns_subdomain, invalid_each, validate_label_selector
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import path_segment

__all__ = ["Bindings", "ClusterRoles", "Roles"]

_GROUP = "rbac.authorization.k8s.io"


class _Authorization(Strategy):
    """Any name will do that can stand in a path."""

    allows_create_on_update = True
    revalidates_meta = True

    def name_rule(self, name: str, prefix: bool) -> list[str]:
        # Upstream asks the same of a prefix.
        return object_meta.path_segment(name, False)


class Roles(_Authorization):
    def default(self, obj: Tree) -> None:
        obj.setdefault("rules", None)  # written even when there are none

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return [
            error
            for index, rule in enumerate(obj.get("rules") or ())
            for error in _validate_rule(rule, f"rules[{index}]", namespaced=self.kind.resource.namespaced)
        ]


class ClusterRoles(Roles):
    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors = super().validate_object(obj)
        aggregation = obj.get("aggregationRule")
        if aggregation is None:
            return errors
        path = "aggregationRule.clusterRoleSelectors"
        selectors = aggregation.get("clusterRoleSelectors") or ()
        if not selectors:
            text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            errors.append(FieldError.required(path, text))
        for index, selector in enumerate(selectors):
            wrong = validate_label_selector(selector, f"{path}[{index}]")
            errors += wrong
            if wrong:
                errors.append(FieldError.invalid(f"{path}[{index}]", None, "invalid label selector."))
        return errors


def _validate_rule(rule: Tree, path: str, *, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if not rule.get("verbs"):
        errors.append(FieldError.required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs") or []
    if urls:
        at = f"{path}.nonResourceURLs"
        if namespaced:
            errors.append(FieldError.invalid(at, urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(FieldError.invalid(at, urls, text))
        return errors
    if not rule.get("apiGroups"):
        text = "resource rules must supply at least one api group"
        errors.append(FieldError.required(f"{path}.apiGroups", text))
    if not rule.get("resources"):
        text = "resource rules must supply at least one resource"
        errors.append(FieldError.required(f"{path}.resources", text))
    return errors


class Bindings(_Authorization):
    """Role bindings of a namespace and of the cluster; whom they refer to never changes."""

    def default(self, obj: Tree) -> None:
        fill(obj.setdefault("roleRef", {}), apiGroup=_GROUP)
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                fill(subject, apiGroup=_GROUP)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        reference = obj.get("roleRef") or {}
        group, kind, name = (reference.get(field) or "" for field in ("apiGroup", "kind", "name"))
        kinds = ("Role", "ClusterRole") if self.kind.resource.namespaced else ("ClusterRole",)
        errors: list[FieldError] = []
        if group != _GROUP:
            errors.append(FieldError.not_supported("roleRef.apiGroup", group, [_GROUP]))
        if kind not in kinds:
            errors.append(FieldError.not_supported("roleRef.kind", kind, kinds))
        if name:
            errors += invalid_each("roleRef.name", name, path_segment(name))
        else:
            errors.append(FieldError.required("roleRef.name"))
        for index, subject in enumerate(obj.get("subjects") or ()):
            errors += self._validate_subject(subject, f"subjects[{index}]")
        return errors

    def _validate_subject(self, subject: Tree, path: str) -> list[FieldError]:
        name, kind, group = (subject.get(field) or "" for field in ("name", "kind", "apiGroup"))
        errors = [] if name else [FieldError.required(f"{path}.name")]
        if kind == "ServiceAccount":
            if name:
                errors += dns_subdomain(name, f"{path}.name")
            if group:
                errors.append(FieldError.not_supported(f"{path}.apiGroup", group, [""]))
            if not self.kind.resource.namespaced and not subject.get("namespace"):
                errors.append(FieldError.required(f"{path}.namespace"))
        elif kind in ("User", "Group"):
            if group != _GROUP:
                errors.append(FieldError.not_supported(f"{path}.apiGroup", group, [_GROUP]))
        else:
            errors.append(FieldError.not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors = self.validate_object(obj)
        reference = obj.get("roleRef") or {}
        if reference != (old.get("roleRef") or {}):
            shown = {field[0].upper() + field[1:]: reference.get(field) or "" for field in ("kind", "name")}
            shown = {"APIGroup": reference.get("apiGroup") or "", **shown}
            errors.append(FieldError.invalid("roleRef", shown, "cannot change roleRef"))
        return errors
