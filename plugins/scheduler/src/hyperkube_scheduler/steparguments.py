"""What a configuration tells single steps (`pluginConfig`): checked, and made into what their constructors take.

Source: k8s.io/kubernetes/pkg/scheduler/apis/config (types_pluginargs.go, validation_pluginargs.go, defaults.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from hyperkube_machinery.errors import FieldError
from hyperkube_scheduler.nodematching import NodeTerm, RequiredNodes, parse_preferred, parse_required
from hyperkube_scheduler.podterms import SpreadConstraint, parse_constraints
from hyperkube_scheduler.steps.noderesources import (
    DEFAULT_RESOURCES,
    Resource,
    Strategy,
    least_allocated,
    most_allocated,
    requested_to_capacity_ratio,
)
from hyperkube_scheduler.steps.podtopologyspread import SYSTEM_CONSTRAINTS

__all__ = ["Arguments"]

Tree = Mapping[str, Any]

_STRATEGIES = ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio")
_SHAPE_SCALE = 10  # shapes go to 10, scores to 100


class Arguments:
    """Reads the arguments of one step; what is wrong goes to `errors`."""

    def __init__(self, tree: Tree, path: str, errors: list[FieldError]) -> None:
        self._tree = tree
        self._path = path
        self._errors = errors

    def _invalid(self, field: str, value: object, detail: str) -> None:
        self._errors.append(FieldError.invalid(f"{self._path}.{field}", value, detail))

    def _known(self, *fields: str) -> None:
        for name in self._tree:
            if name not in (*fields, "apiVersion", "kind"):
                self._errors.append(FieldError.forbidden(f"{self._path}.{name}", "there is no such field"))

    def _integer(self, name: str, default: int, low: int, high: int | None) -> int:
        value = self._tree.get(name)
        if value is None:
            return default
        if not isinstance(value, int) or value < low or (high is not None and value > high):
            limit = f"[{low}, {high}]" if high is not None else f"[{low}, inf)"
            self._invalid(name, value, f"not in valid range {limit}")
            return default
        return value

    def preemption(self) -> tuple[int, int]:
        """Percentage and least number of nodes to compare."""
        self._known("minCandidateNodesPercentage", "minCandidateNodesAbsolute")
        percentage = self._integer("minCandidateNodesPercentage", 10, 0, 100)
        least = self._integer("minCandidateNodesAbsolute", 100, 0, None)
        if not percentage and not least:
            detail = "cannot be zero at the same time as minCandidateNodesAbsolute"
            self._invalid("minCandidateNodesPercentage", percentage, detail)
        return percentage, least

    def pod_affinity(self) -> tuple[int, bool]:
        """Weight of others' required affinity, and whether their preferences are ignored."""
        self._known("hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods")
        ignores = bool(self._tree.get("ignorePreferredTermsOfExistingPods"))
        return self._integer("hardPodAffinityWeight", 1, 0, 100), ignores

    def added_affinity(self) -> tuple[RequiredNodes | None, Sequence[NodeTerm]]:
        """Node affinity of all pods of the profile."""
        self._known("addedAffinity")
        added = self._tree.get("addedAffinity") or {}
        required = added.get("requiredDuringSchedulingIgnoredDuringExecution")
        preferred = parse_preferred(added.get("preferredDuringSchedulingIgnoredDuringExecution"))
        nodes = parse_required(None, required) if required is not None else None
        if any(term.broken for term in (*(nodes.terms or () if nodes else ()), *preferred)):
            self._invalid("addedAffinity", added, "a term can't be read")
        return nodes, preferred

    def spreading(self) -> tuple[Sequence[SpreadConstraint], bool]:
        """Constraints of pods without any, and whether these are the system's."""
        self._known("defaultConstraints", "defaultingType")
        kind, listed = self._tree.get("defaultingType") or "System", self._tree.get("defaultConstraints") or ()
        if kind not in ("System", "List"):
            path = f"{self._path}.defaultingType"
            self._errors.append(FieldError.not_supported(path, kind, ["System", "List"]))
        if kind == "System":
            if listed:
                self._invalid("defaultingType", kind, "when .defaultConstraints are not empty")
            return SYSTEM_CONSTRAINTS, True
        for index, one in enumerate(listed):
            self._check_constraint(one, f"defaultConstraints[{index}]")
        return parse_constraints(listed, {}), False

    def _check_constraint(self, tree: Tree, path: str) -> None:
        whole = f"{self._path}.{path}"
        if (tree.get("maxSkew") or 0) <= 0:
            self._invalid(f"{path}.maxSkew", tree.get("maxSkew") or 0, "not in valid range (0, inf)")
        if not tree.get("topologyKey"):
            self._errors.append(FieldError.required(f"{whole}.topologyKey", "can not be empty"))
        action = tree.get("whenUnsatisfiable") or ""
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            supported = ["DoNotSchedule", "ScheduleAnyway"]
            self._errors.append(FieldError.not_supported(f"{whole}.whenUnsatisfiable", action, supported))
        if tree.get("labelSelector") is not None:
            detail = "constraint must not define a selector, as they deduced for each pod"
            self._errors.append(FieldError.forbidden(f"{whole}.labelSelector", detail))

    def balanced(self) -> Sequence[Resource]:
        """Resources to balance."""
        self._known("resources")
        return self._resources(self._tree.get("resources"), "resources", most=1)

    def fit(self) -> dict[str, Any]:
        """Keywords of the constructor of the filter and score by resources."""
        self._known("ignoredResources", "ignoredResourceGroups", "scoringStrategy")
        for index, group in enumerate(self._tree.get("ignoredResourceGroups") or ()):
            if "/" in group:
                self._invalid(f"ignoredResourceGroups[{index}]", group, "resource group name can't contain '/'")
        chosen = self._tree.get("scoringStrategy") or {}
        kind = chosen.get("type") or "LeastAllocated"
        return {
            "strategy": self._strategy(kind, chosen),
            "rounds": kind == "RequestedToCapacityRatio",
            "resources": self._resources(chosen.get("resources"), "scoringStrategy.resources", most=100),
            "ignored": frozenset(self._tree.get("ignoredResources") or ()),
            "ignored_groups": frozenset(self._tree.get("ignoredResourceGroups") or ()),
        }

    def _strategy(self, kind: str, tree: Tree) -> Strategy:
        ratio, path = tree.get("requestedToCapacityRatio"), f"{self._path}.scoringStrategy"
        if kind not in _STRATEGIES:
            self._errors.append(FieldError.not_supported(f"{path}.type", kind, _STRATEGIES))
        if kind != "RequestedToCapacityRatio":
            if ratio is not None:
                detail = "must be nil when type is not RequestedToCapacityRatio"
                self._errors.append(FieldError.forbidden(f"{path}.requestedToCapacityRatio", detail))
            return most_allocated if kind == "MostAllocated" else least_allocated
        shape = [(one.get("utilization") or 0, one.get("score") or 0) for one in (ratio or {}).get("shape") or ()]
        field = "scoringStrategy.requestedToCapacityRatio.shape"
        if not shape:
            self._errors.append(
                FieldError.required(f"{path}.requestedToCapacityRatio.shape", "at least one point must be specified")
            )
            return least_allocated
        if any(before >= after for (before, _), (after, _) in pairwise(shape)):
            self._invalid(field, shape, "values must be sorted in increasing order")
            return least_allocated
        if not all(0 <= at <= 100 and 0 <= score <= _SHAPE_SCALE for at, score in shape):
            self._invalid(field, shape, "utilization must be in [0-100], score in [0-10]")
        return requested_to_capacity_ratio([(at, score * _SHAPE_SCALE) for at, score in shape])

    def _resources(self, listed: Sequence[Tree] | None, field: str, *, most: int) -> Sequence[Resource]:
        if not listed:
            return DEFAULT_RESOURCES
        found = [Resource(one.get("name") or "", one.get("weight") or 1) for one in listed]
        for index, one in enumerate(found):
            if not 0 < one.weight <= most:
                detail = "must be 1" if most == 1 else f"resource weight of {one.name} not in valid range (0, {most}]"
                self._invalid(f"{field}[{index}].weight", one.weight, detail)
        return found
