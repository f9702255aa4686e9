"""Admission policies.

Source: k8s.io/kubernetes/pkg/{registry,apis}/admissionregistration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from hyperkube_apiserver.registry.admissionregistration.base import Registration
from hyperkube_apiserver.registry.admissionregistration.expressions import Expressions
from hyperkube_apiserver.registry.admissionregistration.matching import (
    FAILURE_POLICIES,
    REINVOCATION_POLICIES,
    default_match_resources,
    validate_match_conditions,
    validate_match_resources,
    validate_mutable_operations,
)
from hyperkube_apiserver.registry.conditions import validate_conditions
from hyperkube_apiserver.registry.fields import one_of, qualified
from hyperkube_apiserver.registry.strategy import Tree, reset_meta_for_status
from hyperkube_machinery import meta, names
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.jsonpath import JSONPathError, check_json_path

__all__ = ["MutatingPolicies", "ValidatingPolicies", "is_cel_identifier"]

_CEL_RESERVED = frozenset(
    {
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"),
        *("import", "let", "loop", "package", "namespace", "return", "var", "void", "while"),
    }
)
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_MOST_ANNOTATIONS = 20
_ANNOTATION_BYTES = 5 << 10
_EITHER = "validations or auditAnnotations must contain at least one item"


class Policies(Registration):
    """What both kinds of policies have alike."""

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("failurePolicy", "Fail")
        default_match_resources(spec.get("matchConstraints"))

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return self._validate_spec(obj, checks_conditions=True)

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        changed = any(spec.get(field) != before.get(field) for field in ("paramKind", "matchConditions"))
        return self._validate_spec(obj, checks_conditions=changed)

    def _validate_spec(self, obj: Tree, *, checks_conditions: bool) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = one_of(spec["failurePolicy"], FAILURE_POLICIES, "spec.failurePolicy")
        has_params = spec.get("paramKind") is not None
        if has_params:
            errors += _validate_param_kind(spec["paramKind"], "spec.paramKind")
        if (constraints := spec.get("matchConstraints")) is None:
            errors.append(FieldError.required("spec.matchConstraints"))
        else:
            errors += validate_match_resources(constraints, "spec.matchConstraints")
            if not constraints.get("resourceRules"):
                errors.append(FieldError.required("spec.matchConstraints.resourceRules"))
            errors += self.validate_operations(constraints)
        if checks_conditions:
            conditions = spec.get("matchConditions") or ()
            errors += validate_match_conditions(conditions, "spec.matchConditions", params=has_params)
        expressions = Expressions(params=has_params)
        for index, variable in enumerate(spec.get("variables") or ()):
            errors += _validate_variable(variable, f"spec.variables[{index}]", expressions)
        return errors + self.validate_actions(spec, meta.name(obj), expressions)

    def validate_operations(self, constraints: Tree) -> list[FieldError]:
        """What is wrong with the operations beside that all are some."""
        return []

    def validate_actions(self, spec: Tree, name: str, expressions: Expressions) -> list[FieldError]:
        """What is wrong with what the policy called `name` does; `expressions` knows its variables."""
        return []


class ValidatingPolicies(Policies):
    """Policies that refuse writes, or tell of them."""

    def prepare_status_update(self, obj: Tree, old: Tree) -> None:
        super().prepare_status_update(obj, old)
        reset_meta_for_status(obj, old)

    def validate_actions(self, spec: Tree, name: str, expressions: Expressions) -> list[FieldError]:
        validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
        if not validations and not annotations:
            return [FieldError.required(f"spec.{field}", _EITHER) for field in ("validations", "auditAnnotations")]
        errors: list[FieldError] = []
        for index, validation in enumerate(validations):
            errors += _validate_validation(validation, f"spec.validations[{index}]", expressions)
        return errors + _validate_annotations(annotations, name, "spec.auditAnnotations", expressions)

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        status = obj.get("status") or {}
        errors: list[FieldError] = []
        for index, warning in enumerate((status.get("typeChecking") or {}).get("expressionWarnings") or ()):
            path = f"status.typeChecking.expressionWarnings[{index}]"
            if not warning.get("warning"):
                errors.append(FieldError.required(f"{path}.warning"))
            errors += _validate_field_ref((warning.get("fieldRef") or "").strip(), f"{path}.fieldRef")
        return errors + validate_conditions(status.get("conditions") or (), "status.conditions")


class MutatingPolicies(Policies):
    """Policies that change what is written."""

    _PATCHES: ClassVar[Mapping[str, str]] = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}

    def validate_operations(self, constraints: Tree) -> list[FieldError]:
        return validate_mutable_operations(constraints, "spec.matchConstraints")

    def validate_actions(self, spec: Tree, name: str, expressions: Expressions) -> list[FieldError]:
        mutations = spec.get("mutations") or ()
        errors: list[FieldError] = []
        if not mutations:
            errors.append(FieldError.required("spec.mutations", "mutations must contain at least one item"))
        for index, mutation in enumerate(mutations):
            errors += self._validate_mutation(mutation, f"spec.mutations[{index}]", expressions)
        policy = spec.get("reinvocationPolicy") or ""
        return errors + one_of(policy, REINVOCATION_POLICIES, "spec.reinvocationPolicy", required=True)

    def _validate_mutation(self, mutation: Tree, path: str, expressions: Expressions) -> list[FieldError]:
        kind = mutation.get("patchType") or ""
        if kind not in self._PATCHES:
            return one_of(kind, self._PATCHES, f"{path}.patchType", required=True)
        errors: list[FieldError] = []
        wanted = self._PATCHES[kind]
        if (patch := mutation.get(wanted)) is None:
            errors.append(FieldError.required(f"{path}.{wanted}", f"must be specified when patchType is {kind}"))
        elif text := (patch.get("expression") or "").strip():
            errors += expressions.validate_mutation(
                text, f"{path}.{wanted}.expression", is_json_patch=kind == "JSONPatch"
            )
        else:
            errors.append(FieldError.required(f"{path}.{wanted}.expression"))
        for field in self._PATCHES.values():
            if field != wanted and mutation.get(field) is not None:
                text = f"must not be specified when patchType is {kind}"
                errors.append(FieldError.invalid(f"{path}.{field}", "{" + field + "}", text))
        return errors


def is_cel_identifier(name: str) -> bool:
    """Whether CEL can call a variable so."""
    return re.fullmatch("[_a-zA-Z][_a-zA-Z0-9]*", name) is not None and name not in _CEL_RESERVED


def _validate_param_kind(param: Tree, path: str) -> list[FieldError]:
    errors = _validate_api_version(param.get("apiVersion") or "", f"{path}.apiVersion")
    kind = param.get("kind") or ""
    if not kind:
        errors.append(FieldError.required(f"{path}.kind"))
    elif wrong := names.dns1035_label(kind.lower()):
        text = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
        errors.append(FieldError.invalid(f"{path}.kind", kind, text))
    return errors


def _validate_api_version(text: str, path: str) -> list[FieldError]:
    if not text:
        return [FieldError.required(path)]
    if text.count("/") > 1:
        return [FieldError.invalid(path, text, f"unexpected GroupVersion string: {text}")]
    group, _, version = text.rpartition("/")
    errors: list[FieldError] = []
    if group and (wrong := names.dns1123_subdomain(group)):
        errors.append(FieldError.invalid(path, group, ",".join(wrong)))
    if not version:
        errors.append(FieldError.invalid(path, text, "version must be specified"))
    elif wrong := names.dns1035_label(version):
        errors.append(FieldError.invalid(path, version, ",".join(wrong)))
    return errors


def _validate_variable(variable: Tree, path: str, expressions: Expressions) -> list[FieldError]:
    errors: list[FieldError] = []
    name = variable.get("name") or ""
    if not name.strip():
        errors.append(FieldError.required(f"{path}.name", "name is not specified"))
    elif not is_cel_identifier(name):
        errors.append(FieldError.invalid(f"{path}.name", name, "must be a valid CEL identifier"))
    text = variable.get("expression") or ""
    if text.strip():
        return errors + expressions.validate_variable(name, text, f"{path}.expression")
    return [*errors, _unspecified("expression", path)]


def _unspecified(field: str, path: str) -> FieldError:
    return FieldError.required(f"{path}.{field}", f"{field} is not specified")


def _validate_validation(validation: Tree, path: str, expressions: Expressions) -> list[FieldError]:
    text, message = validation.get("expression") or "", validation.get("message") or ""
    if text.strip():
        errors = expressions.validate_validation(text, f"{path}.expression")
    else:
        errors = [_unspecified("expression", path)]
    if text := validation.get("messageExpression") or "":
        if text.strip():
            errors += expressions.validate_message(text, f"{path}.messageExpression")
        else:
            errors.append(FieldError.invalid(f"{path}.messageExpression", text, "must be non-empty if specified"))
    if message and not message.strip():
        errors.append(FieldError.invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif re.search("[\n\r]", message.strip()):
        errors.append(FieldError.invalid(f"{path}.message", message, "must not contain line breaks"))
    if validation.get("reason") is not None:
        errors += one_of(validation["reason"], _REASONS, f"{path}.reason")
    return errors


def _validate_annotations(
    annotations: Sequence[Tree], name: str, path: str, expressions: Expressions
) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(annotations) > _MOST_ANNOTATIONS:
        shown = [
            {"Key": one.get("key") or "", "ValueExpression": one.get("valueExpression") or ""} for one in annotations
        ]
        text = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        errors.append(FieldError.invalid(path, shown, text))
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        at, key = f"{path}[{index}]", annotation.get("key") or ""
        if name:
            errors += qualified(f"{name}/{key}", f"{at}.key")
        else:
            errors.append(FieldError.invalid(f"{at}.key", key, "requires metadata.name be non-empty"))
        text = annotation.get("valueExpression") or ""
        if not text.strip():
            errors.append(_unspecified("valueExpression", at))
        elif len(text.strip().encode()) > _ANNOTATION_BYTES:
            why = f"must not exceed {_ANNOTATION_BYTES} bytes in length"
            errors.append(FieldError.required(f"{at}.valueExpression", why))
        else:
            errors += expressions.validate_annotation(text, f"{at}.valueExpression")
        if key in seen:
            errors.append(FieldError.duplicate(f"{at}.key", key))
        seen.add(key)
    return errors


def _validate_field_ref(ref: str, path: str) -> list[FieldError]:
    if not ref:
        return [FieldError.required(path)]
    try:
        check_json_path("{" + ref + "}")
    except JSONPathError as exc:
        return [FieldError.invalid(path, ref, f"invalid JSONPath: {exc}")]
    return []
