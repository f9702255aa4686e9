"""apps/v1. Source: k8s.io/kubernetes/pkg/{registry,apis}/apps."""

from __future__ import annotations

from hyperkube_apiserver.registry.fields import nonnegative, validate_label_selector
from hyperkube_apiserver.registry.meta import immutable
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext, keep_meta
from hyperkube_apiserver.registry.workloads import (
    Workload,
    default_template,
    mismatched_labels,
    parsed_selector,
    percentage,
    template_warnings,
    validate_amount_or_percent,
    validate_at_most_all,
    validate_collisions,
    validate_counts,
    validate_forever_template,
    validate_required_selector,
)
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["ControllerRevisions", "DaemonSets", "Deployments", "ReplicaSets"]

_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


class ReplicaSets(Workload):
    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, replicas=1)
        default_template(spec)

    def initial_status(self, obj: Tree) -> Tree:
        return {"replicas": 0}

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = nonnegative(spec.get("replicas"), "spec.replicas")
        errors += nonnegative(spec.get("minReadySeconds"), "spec.minReadySeconds")
        # The word is upstream's, here too.
        errors += validate_required_selector(spec, "deployment")
        return errors + self.validate_selected(spec, "ReplicaSet")

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return self.validate_object(obj) + _validate_same_selector(obj, old)

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        bounded = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
        fields = ("replicas", *bounded, "observedGeneration", "terminatingReplicas")
        return validate_counts(obj.get("status") or {}, fields, bounded)


class Deployments(Workload):
    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
        strategy = spec.setdefault("strategy", {})
        fill(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            if strategy.get("rollingUpdate") is None:
                strategy["rollingUpdate"] = {}
            for field in ("maxUnavailable", "maxSurge"):
                if strategy["rollingUpdate"].get(field) is None:
                    strategy["rollingUpdate"][field] = "25%"
        default_template(spec)

    def is_new_generation(self, obj: Tree, old: Tree) -> bool:
        return super().is_new_generation(obj, old) or meta.annotations_of(obj) != meta.annotations_of(old)

    def prepare_status_update(self, obj: Tree, old: Tree) -> None:
        super().prepare_status_update(obj, old)
        keep_meta(obj, old, "labels")

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors = nonnegative(spec.get("replicas"), "spec.replicas")
        errors += validate_required_selector(spec, "deployment") + self.validate_selected(spec, "ReplicaSet")
        errors += _validate_strategy(spec.get("strategy") or {}, "spec.strategy")
        ready, deadline = spec.get("minReadySeconds") or 0, spec.get("progressDeadlineSeconds")
        for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
            errors += nonnegative(spec.get(field), f"spec.{field}")
        if deadline is not None and deadline <= ready:
            text = "must be greater than minReadySeconds"
            errors.append(FieldError.invalid("spec.progressDeadlineSeconds", deadline, text))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return self.validate_object(obj) + _validate_same_selector(obj, old)

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        bounded = ("updatedReplicas", "readyReplicas", "availableReplicas")
        others = ("observedGeneration", "replicas", "unavailableReplicas", "terminatingReplicas", "collisionCount")
        status = obj.get("status") or {}
        errors = validate_counts(status, (*others, *bounded), bounded)
        return errors + validate_collisions(status, old.get("status") or {})


def _validate_same_selector(obj: Tree, old: Tree) -> list[FieldError]:
    return immutable("spec.selector", obj["spec"].get("selector"), (old.get("spec") or {}).get("selector"))


def _validate_strategy(strategy: Tree, path: str) -> list[FieldError]:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is None:
            return []
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [FieldError.forbidden(f"{path}.rollingUpdate", text)]
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": rolling}
        return [FieldError.not_supported(path, shown, ("Recreate", "RollingUpdate"))]
    rolling = rolling or {}
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    at = f"{path}.rollingUpdate"
    errors = validate_amount_or_percent(unavailable, f"{at}.maxUnavailable")
    errors += validate_amount_or_percent(surge, f"{at}.maxSurge")
    if not percentage(unavailable) and not percentage(surge):
        text = "may not be 0 when `maxSurge` is 0"
        errors.append(FieldError.invalid(f"{at}.maxUnavailable", unavailable, text))
    return errors + validate_at_most_all(unavailable, f"{at}.maxUnavailable")


class DaemonSets(Workload):
    """Its template's generation lives in an annotation, where v1 moved it."""

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, revisionHistoryLimit=10)
        strategy = spec.setdefault("updateStrategy", {})
        fill(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            if strategy.get("rollingUpdate") is None:
                strategy["rollingUpdate"] = {}
            fill(strategy["rollingUpdate"], maxUnavailable=1, maxSurge=0)
        default_template(spec)
        _set_template_generation(obj, _template_generation(obj))  # which whoever writes it owns, too

    def initial_status(self, obj: Tree) -> Tree:
        return {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        super().prepare_for_create(obj, context)
        _set_template_generation(obj, max(_template_generation(obj), 1))

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        super().prepare_for_update(obj, old, context)
        generation = _template_generation(old)
        if (obj.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template"):
            generation += 1
        _set_template_generation(obj, generation)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        # Upstream asks for a change of what v1 keeps in an annotation, so that updates warn of new templates alone.
        if old is not None and _template_generation(old) == _template_generation(obj):
            return []
        return template_warnings(obj)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        selector = spec.get("selector")
        errors = validate_label_selector(selector, "spec.selector")
        if selector is None:
            labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
            errors.append(mismatched_labels(labels))
        else:
            parsed = parsed_selector(spec)
            labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
            if parsed is not None and not parsed.matches(labels or {}):
                errors.append(mismatched_labels(labels))
            if not selector.get("matchLabels") and not selector.get("matchExpressions"):
                text = "empty selector is invalid for daemonset"
                errors.append(FieldError.invalid("spec.selector", dict(selector), text))
        errors += validate_forever_template(spec.get("template") or {}, "DaemonSet", self.policy)
        errors += nonnegative(spec.get("minReadySeconds"), "spec.minReadySeconds")
        errors += _validate_daemon_strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")
        return errors + nonnegative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return self.validate_object(obj) + _validate_same_selector(obj, old)

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        fields = (
            *("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"),
            *("observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable"),
            "collisionCount",
        )
        status = obj.get("status") or {}
        return validate_counts(status, fields) + validate_collisions(status, old.get("status") or {})


def _template_generation(obj: Tree) -> int:
    text = meta.annotations_of(obj).get(_TEMPLATE_GENERATION, "0")
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def _set_template_generation(obj: Tree, generation: int) -> None:
    mine = meta.ensure_meta(obj)
    mine["annotations"] = {**(mine.get("annotations") or {}), _TEMPLATE_GENERATION: str(generation)}


def _validate_daemon_strategy(strategy: Tree, path: str) -> list[FieldError]:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate") or {}
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": strategy.get("rollingUpdate")}
        return [FieldError.not_supported(path, shown, ("RollingUpdate", "OnDelete"))]
    at = f"{path}.rollingUpdate"
    errors: list[FieldError] = []
    for check in (validate_amount_or_percent, validate_at_most_all):
        for field in ("maxUnavailable", "maxSurge"):
            errors += check(rolling.get(field), f"{at}.{field}")
    unavailable, surge = percentage(rolling.get("maxUnavailable")), percentage(rolling.get("maxSurge"))
    if unavailable and surge:
        text = "may not be set when maxUnavailable is non-zero"
        errors.append(FieldError.invalid(f"{at}.maxSurge", rolling.get("maxSurge"), text))
    elif not unavailable and not surge:
        errors.append(FieldError.required(f"{at}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors


class ControllerRevisions(Strategy):
    """A past state of a workload: its data never changes.

    Upstream compares texts of it: a patch fails where a client did not write `data` as Go would. Here it is compared by
    what it says, so that a patch of anything else succeeds whoever wrote it.
    """

    revalidates_meta = True

    def validate_object(self, obj: Tree) -> list[FieldError]:
        data = obj.get("data")
        errors = nonnegative(obj.get("revision"), "revision")
        if data is None:
            errors.append(FieldError.required("data", "data is mandatory"))
        elif not isinstance(data, dict):
            errors.append(FieldError.required("data", "data must be a valid JSON object"))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return nonnegative(obj.get("revision"), "revision") + immutable("data", obj.get("data"), old.get("data"))
