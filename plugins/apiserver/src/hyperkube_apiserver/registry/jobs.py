"""Jobs. Source: k8s.io/kubernetes/pkg/{registry,apis}/batch."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hyperkube_apiserver.registry.fields import checked, nonnegative, one_of, validate_label_selector
from hyperkube_apiserver.registry.jobpolicies import validate_failure_policy, validate_success_policy
from hyperkube_apiserver.registry.jobstatus import validate_job_status
from hyperkube_apiserver.registry.jobtemplates import validate_template_changes
from hyperkube_apiserver.registry.meta import immutable
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.podspec.spec import validate_template
from hyperkube_apiserver.registry.strategy import Policy, Strategy, Tree, WriteContext
from hyperkube_apiserver.registry.workloads import (
    default_template,
    drop_disabled_of,
    mismatched_labels,
    name_warning,
    parsed_selector,
    shown_selector,
    template_warnings,
)
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_label, dns1123_subdomain, regex_error

__all__ = ["Jobs", "default_failure_policy", "job_warnings", "validate_job_spec"]

_CONTROLLER_UID, _JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_MANY, _MANY_AT_ONCE = 100_000, 10_000
_UNLIMITED = 2**31 - 1
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"


class Jobs(Strategy):
    """Pods that end. The server itself makes the selector, from the job's uid."""

    revalidates_meta = True
    counts_generation = True
    default_propagation = "Orphan"
    orphaning_warning = (
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or "
        "set propagationPolicy=Orphan to suppress this warning"
    )

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("completions") is None and spec.get("parallelism") is None:
            spec["completions"] = 1
        limit = 6 if spec.get("backoffLimitPerIndex") is None else _UNLIMITED
        replace = "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"
        fill(spec, parallelism=1, backoffLimit=limit, completionMode="NonIndexed", suspend=False)
        fill(spec, podReplacementPolicy=replace, manualSelector=False)
        default_failure_policy(spec)
        default_template(spec)
        mine = meta.ensure_meta(obj)
        if (labels := spec["template"]["metadata"].get("labels")) and not mine.get("labels"):
            mine["labels"] = dict(labels)

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        spec = obj["spec"]
        if not spec.get("manualSelector"):
            _generate_selector(obj)
        drop_disabled_of(obj)
        super().prepare_for_create(obj, context)

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        drop_disabled_of(obj, old)
        super().prepare_for_update(obj, old, context)

    def completed_by_reading(self, obj: Tree) -> bool:
        return _CONTROLLER_UID in meta.labels_of(obj)  # labels that were copied from the template

    def validate_meta(self, obj: Tree) -> list[FieldError]:
        # Labels that were copied from the template are checked there; upstream copies them when it reads the job.
        if set(meta.labels_of(obj)) == {"job-name", "controller-uid", _JOB_NAME, _CONTROLLER_UID}:
            mine = {field: value for field, value in obj["metadata"].items() if field != "labels"}
            obj = {**obj, "metadata": mine}
        return super().validate_meta(obj)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = _validate_generated_selector(obj, spec)
        errors += _validate_job(spec, self.policy)
        completions = spec.get("completions") or 0
        if spec.get("completionMode") == "Indexed" and completions > 0:
            longest = f"{meta.name(obj)}-{completions - 1}"
            if dns1123_label(longest):
                text = f"will not able to create pod with invalid DNS label: {longest}"
                errors.append(FieldError.invalid("metadata.name", meta.name(obj), text))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        # Upstream checks the spec once as a new one and once as a change.
        errors = self.validate_object(obj) + _validate_job(spec, self.policy)
        completions = spec.get("completions")
        if spec.get("completionMode") != "Indexed":
            errors += immutable("spec.completions", completions, before.get("completions"))
        elif completions not in (None, before.get("completions"), spec.get("parallelism")):
            text = "can only be modified in tandem with spec.parallelism"
            errors.append(FieldError.invalid("spec.completions", completions, text))
        errors += immutable("spec.selector", spec.get("selector"), before.get("selector"))
        errors += validate_template_changes(spec, old)
        for field in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
            errors += immutable(f"spec.{field}", spec.get(field), before.get(field))
        return errors

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return validate_job_status(obj, old)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        return job_warnings(obj, old, "spec")

    def field_values(self, obj: Tree) -> Mapping[str, str]:
        return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


def default_failure_policy(spec: Tree) -> None:
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            fill(pattern, status="True")


def _generate_selector(obj: Tree) -> None:
    """Select by the job's uid, and label the template so that it is found."""
    spec, uid = obj["spec"], meta.uid(obj)
    template = spec["template"].setdefault("metadata", {})
    generated = {"job-name": meta.name(obj), _JOB_NAME: meta.name(obj), "controller-uid": uid, _CONTROLLER_UID: uid}
    labels = {**generated, **(template.get("labels") or {})}
    mine = meta.ensure_meta(obj)
    if not mine.get("labels"):
        mine["labels"] = labels
    template["labels"] = labels
    selector = spec.get("selector") or {}
    spec["selector"] = {**selector, "matchLabels": {_CONTROLLER_UID: uid, **(selector.get("matchLabels") or {})}}


def _validate_generated_selector(obj: Tree, spec: Tree) -> list[FieldError]:
    if spec.get("manualSelector") or spec.get("selector") is None:
        return []
    uid, name = meta.uid(obj), meta.name(obj)
    expected = {"controller-uid": uid, "job-name": name, _CONTROLLER_UID: uid, _JOB_NAME: name}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    errors: list[FieldError] = []
    for key, value in expected.items():
        if key not in labels:
            detail = f"must be '{value}'"
            errors.append(FieldError("FieldValueRequired", f"spec.template.metadata.labels[{key}]", detail, "", False))
        elif labels[key] != value:
            shown = dict(sorted(labels.items()))
            errors.append(FieldError.invalid(f"spec.template.metadata.labels[{key}]", shown, f"must be '{value}'"))
    selector = parsed_selector(spec)
    if selector is not None and not selector.matches(expected):
        errors.append(
            FieldError.invalid("spec.selector", shown_selector(spec["selector"]), "`selector` not auto-generated")
        )
    return errors


def _validate_job(spec: Tree, policy: Policy) -> list[FieldError]:
    errors = validate_job_spec(spec, "spec", policy)
    if spec.get("selector") is None:
        errors.append(FieldError.required("spec.selector"))
    errors += validate_label_selector(spec.get("selector"), "spec.selector")
    selector = parsed_selector(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if selector is not None and not selector.matches(labels or {}):
        errors.append(mismatched_labels(labels))
    return errors


def validate_job_spec(spec: Tree, path: str, policy: Policy) -> list[FieldError]:
    """A job's spec but for its selector, which templates of jobs have none of."""
    errors: list[FieldError] = []
    for field in (
        *("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"),
        *("backoffLimitPerIndex", "maxFailedIndexes"),
    ):
        errors += nonnegative(spec.get(field), f"{path}.{field}")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        text = "when maxFailedIndexes is specified"
        errors.append(FieldError.required(f"{path}.backoffLimitPerIndex", text))
    if spec.get("managedBy") is not None:
        errors += _validate_domain_path(spec["managedBy"], f"{path}.managedBy")
        if len(spec["managedBy"]) > 63:
            errors.append(FieldError.too_long(f"{path}.managedBy", 63))
    mode = spec.get("completionMode")
    if mode not in (None, "NonIndexed", "Indexed"):
        errors.append(FieldError.not_supported(f"{path}.completionMode", mode, ("NonIndexed", "Indexed")))
    if mode == "Indexed":
        errors += _validate_indexed(spec, path)
    elif mode in (None, "NonIndexed"):
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(field) is not None:
                text = "requires indexed completion mode"
                errors.append(FieldError.invalid(f"{path}.{field}", spec[field], text))
    errors += validate_failure_policy(spec, f"{path}.podFailurePolicy")
    errors += validate_success_policy(spec, f"{path}.successPolicy")
    replace = spec.get("podReplacementPolicy")
    if replace is not None:
        allowed = ("Failed", "TerminatingOrFailed") if spec.get("podFailurePolicy") is None else ("Failed",)
        errors += one_of(replace, allowed, f"{path}.podReplacementPolicy")
    errors += validate_template(
        spec.get("template") or {}, f"{path}.template", allow_privileged=policy.allow_privileged
    )
    return errors + _validate_restart_policy(spec, f"{path}.template.spec.restartPolicy")


def _validate_indexed(spec: Tree, path: str) -> list[FieldError]:
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    failed, errors = spec.get("maxFailedIndexes"), []
    if completions is None:
        errors.append(FieldError.required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > _MANY:
        text = f"must be less than or equal to {_MANY} when completion mode is Indexed"
        errors.append(FieldError.invalid(f"{path}.parallelism", parallelism, text))
    if failed is not None and completions is not None and failed > completions:
        text = "must be less than or equal to completions"
        errors.append(FieldError.invalid(f"{path}.maxFailedIndexes", failed, text))
    if failed is not None and failed > _MANY:
        text = f"must be less than or equal to {_MANY}"
        errors.append(FieldError.invalid(f"{path}.maxFailedIndexes", failed, text))
    if completions is not None and completions > _MANY and spec.get("backoffLimitPerIndex") is not None:
        if failed is None:
            text = f"must be specified when completions is above {_MANY}"
            errors.append(FieldError.required(f"{path}.maxFailedIndexes", text))
        why = f"when completions are above {_MANY} and used with backoff limit per index"
        for field, value in (("parallelism", parallelism), ("maxFailedIndexes", failed)):
            if value is not None and value > 10_000:
                text = f"must be less than or equal to 10000 {why}"
                errors.append(FieldError.invalid(f"{path}.{field}", value, text))
    return errors


def _validate_restart_policy(spec: Tree, path: str) -> list[FieldError]:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") or ""
    if policy in ("Always", ""):
        return [FieldError.required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [FieldError.not_supported(path, policy, ("OnFailure", "Never"))]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        return [FieldError.invalid(path, policy, text)]
    return []


def _validate_domain_path(text: str, path: str) -> list[FieldError]:
    host, slash, rest = text.partition("/")
    if not text:
        return [FieldError.required(path)]
    if not slash or not host or not rest:
        return [FieldError.invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = checked(dns1123_subdomain, host, path)
    if not re.fullmatch(_HTTP_PATH, rest):
        errors.append(FieldError.invalid(path, rest, regex_error("Invalid path", _HTTP_PATH)))
    return errors


def job_warnings(obj: Tree, old: Tree | None, path: str) -> list[str]:
    """Warnings about a job's spec at `path`, if it is new, and about the name of what it stands in."""
    texts = name_warning(meta.name(obj)) if old is None else []
    if old is not None and meta.generation(old) == meta.generation(obj):
        return texts
    spec: Tree = obj
    for part in path.split("."):
        spec = spec.get(part) or {}
    if (
        spec.get("completionMode") == "Indexed"
        and (spec.get("completions") or 0) > _MANY
        and (spec.get("parallelism") or 0) > _MANY_AT_ONCE
    ):
        texts.append(
            f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
            "10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    return texts + template_warnings(obj, f"{path}.template")
