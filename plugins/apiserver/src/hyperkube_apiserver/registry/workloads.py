"""What all kinds that make pods from a template have in common.

Source: k8s.io/kubernetes/pkg/apis/apps/validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hyperkube_apiserver.registry.fields import checked, nonnegative, validate_label_selector
from hyperkube_apiserver.registry.podspec.defaults import default_pod_spec
from hyperkube_apiserver.registry.podspec.disabled import drop_disabled
from hyperkube_apiserver.registry.podspec.spec import validate_template
from hyperkube_apiserver.registry.podspec.warnings import spec_warnings
from hyperkube_apiserver.registry.strategy import Policy, Strategy, WriteContext
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_label, percent
from hyperkube_machinery.selectors import LabelSelector, label_selector

__all__ = [
    "Workload",
    "default_template",
    "drop_disabled_of",
    "mismatched_labels",
    "name_warning",
    "parsed_selector",
    "percentage",
    "shown_selector",
    "template_warnings",
    "validate_amount_or_percent",
    "validate_at_most_all",
    "validate_counts",
    "validate_forever_template",
    "validate_required_selector",
    "validate_runs_forever",
    "validate_selected_template",
    "workload_warnings",
]

Tree = Mapping[str, Any]


def default_template(spec: dict[str, Any]) -> None:
    """Defaults of the pod template in `spec`, which a spec always has."""
    template = spec.setdefault("template", {})
    default_pod_spec(template.setdefault("spec", {}))
    template.setdefault("metadata", {})


def drop_disabled_of(obj: Tree, old: Tree | None = None, path: str = "spec.template") -> None:
    """Take from the template at a path what features that are off would use; `old` is the object as it was."""
    template = _at(obj, path)
    if template is not None:
        drop_disabled(template.get("spec") or {}, ((_at(old, path) or {}).get("spec")) if old else None)


def _at(obj: Tree, path: str) -> Any:
    tree: Any = obj
    for part in path.split("."):
        tree = (tree or {}).get(part)
    return tree


def validate_required_selector(spec: Tree, kind: str, path: str = "spec.selector") -> list[FieldError]:
    """There is a selector and it selects something in particular. `kind` is the word in the text."""
    selector = spec.get("selector")
    if selector is None:
        return [FieldError.required(path)]
    errors = validate_label_selector(selector, path)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(FieldError.invalid(path, dict(selector), f"empty selector is invalid for {kind}"))
    return errors


def parsed_selector(spec: Tree) -> LabelSelector | None:
    """The selector, or None if it is none: other errors tell why."""
    try:
        return label_selector(spec.get("selector"))
    except ValueError:
        return None


def validate_selected_template(
    spec: Tree, check_template: Callable[[], list[FieldError]], text: str = "invalid label selector"
) -> list[FieldError]:
    """The template, whose labels are ones that the selector finds again; without a selector it is not looked at."""
    selector = parsed_selector(spec)
    if selector is None:
        return [FieldError.invalid("spec.selector", shown_selector(spec["selector"]), text)]
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    errors: list[FieldError] = []
    if not selector.empty and not selector.matches(labels or {}):
        errors.append(mismatched_labels(labels))
    return errors + check_template()


def mismatched_labels(labels: Any, path: str = "spec.template.metadata.labels") -> FieldError:
    shown = labels and dict(sorted(labels.items()))
    return FieldError.invalid(path, shown, "`selector` does not match template `labels`")


def shown_selector(selector: Tree) -> dict[str, Any]:
    """The selector as messages show it, which is how Go writes maps: sorted by their keys."""
    shown = dict(selector)
    if labels := selector.get("matchLabels"):
        shown["matchLabels"] = dict(sorted(labels.items()))
    return shown


def validate_forever_template(template: Tree, kind: str, policy: Policy) -> list[FieldError]:
    """spec.template of pods that are to run for ever. `kind` is the word in the text."""
    path, spec = "spec.template", template.get("spec") or {}
    errors = validate_template(template, path, allow_privileged=policy.allow_privileged)
    return errors + validate_runs_forever(spec, kind, path)


def validate_runs_forever(spec: Tree, kind: str, path: str = "spec.template") -> list[FieldError]:
    errors: list[FieldError] = []
    restart = spec.get("restartPolicy") or ""
    if restart != "Always":
        errors.append(FieldError.not_supported(f"{path}.spec.restartPolicy", restart, ["Always"]))
    if spec.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(FieldError.forbidden(f"{path}.spec.activeDeadlineSeconds", text))
    return errors


def percentage(value: int | str | None) -> int:
    """The number in `25%` or `3`: enough to know whether it is nothing."""
    if isinstance(value, str):
        digits = value.removesuffix("%")
        return int(digits[:9]) if digits.isdecimal() and digits.isascii() else 0
    return value or 0


def validate_amount_or_percent(value: int | str | None, path: str) -> list[FieldError]:
    if isinstance(value, str):
        return checked(percent, value, path)
    return nonnegative(value, path)


def validate_at_most_all(value: int | str | None, path: str) -> list[FieldError]:
    if isinstance(value, str) and not percent(value) and percentage(value) > 100:
        return [FieldError.invalid(path, value, "must not be greater than 100%")]
    return []


def validate_counts(
    status: Tree, fields: Iterable[str], bounded: Iterable[str] = (), ready: str = "readyReplicas"
) -> list[FieldError]:
    """Counts in a status: none below zero, `bounded` ones not above the replicas. `ready` is the word in a text."""
    errors = [error for field in fields for error in nonnegative(status.get(field), f"status.{field}")]
    replicas = status.get("replicas") or 0
    for field in bounded:
        count = status.get(field) or 0
        if count > replicas:
            text = "cannot be greater than status.replicas"
            errors.append(FieldError.invalid(f"status.{field}", count, text))
    available = status.get("availableReplicas") or 0
    if bounded and available > (status.get("readyReplicas") or 0):
        text = f"cannot be greater than {ready}"
        errors.append(FieldError.invalid("status.availableReplicas", available, text))
    return errors


def validate_collisions(status: Tree, before: Tree) -> list[FieldError]:
    """How often a name was taken already is only ever counted up."""
    new, old = status.get("collisionCount"), before.get("collisionCount")
    if old is None or (new is not None and new >= old):
        return []
    return [FieldError.invalid("status.collisionCount", new or 0, "cannot be decremented")]


def workload_warnings(obj: Tree, old: Tree | None, template: str = "spec.template") -> list[str]:
    """Warnings about the name of a new object, and about the template of a new or newly changed one."""
    told = name_warning(meta.name(obj)) if old is None else []
    if old is not None and meta.generation(old) == meta.generation(obj):
        return told
    return told + template_warnings(obj, template)


def template_warnings(obj: Tree, path: str = "spec.template") -> list[str]:
    """Warnings about the template that stands at a path."""
    return spec_warnings(_at(obj, path) or {}, path)


def name_warning(name: str) -> list[str]:
    """Names that no label can hold make pods whose hostnames surprise."""
    wrong = dns1123_label(name)
    if not wrong:
        return []
    text = (
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
        "a DNS label is recommended"
    )
    return [f"{text}: [{' '.join(wrong)}]"]


class Workload(Strategy):
    """A spec with a template, and a status that counts pods."""

    counts_generation = True

    def prepare_for_create(self, obj: dict[str, Any], context: WriteContext) -> None:
        drop_disabled_of(obj)
        super().prepare_for_create(obj, context)

    def prepare_for_update(self, obj: dict[str, Any], old: dict[str, Any], context: WriteContext) -> None:
        drop_disabled_of(obj, old)
        super().prepare_for_update(obj, old, context)

    def warnings(self, obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
        return workload_warnings(obj, old)

    def validate_selected(self, spec: dict[str, Any], kind: str) -> list[FieldError]:
        template = spec.get("template") or {}
        return validate_selected_template(spec, lambda: validate_forever_template(template, kind, self.policy))
