"""From the settings of a profile to its pipeline: which steps it has at which extension point, and their weights.

Source: k8s.io/kubernetes/pkg/scheduler/apis/config/v1 (default_plugins.go), framework/runtime (framework.go).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.selectors import LabelSelector
from hyperkube_scheduler.configuration import ConfigurationError, PluginSet, ProfileSettings
from hyperkube_scheduler.framework.interface import POINTS, Step
from hyperkube_scheduler.framework.pipeline import Pipeline
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.preemption import Budget
from hyperkube_scheduler.steparguments import Arguments
from hyperkube_scheduler.steps.defaultbinder import Create, DefaultBinder
from hyperkube_scheduler.steps.defaultpreemption import DefaultPreemption, Evicting
from hyperkube_scheduler.steps.dynamicresources import DynamicResources
from hyperkube_scheduler.steps.imagelocality import ImageLocality
from hyperkube_scheduler.steps.interpodaffinity import InterPodAffinity
from hyperkube_scheduler.steps.nodeaffinity import NodeAffinity
from hyperkube_scheduler.steps.nodename import NodeName
from hyperkube_scheduler.steps.nodeports import NodePorts
from hyperkube_scheduler.steps.noderesources import BalancedAllocation, Fit
from hyperkube_scheduler.steps.nodeunschedulable import NodeUnschedulable
from hyperkube_scheduler.steps.podtopologyspread import PodTopologySpread
from hyperkube_scheduler.steps.prioritysort import PrioritySort
from hyperkube_scheduler.steps.schedulinggates import SchedulingGates
from hyperkube_scheduler.steps.tainttoleration import TaintToleration

__all__ = ["ABSENT", "DEFAULTS", "Surroundings", "build_pipelines"]

DEFAULTS: Mapping[str, int] = {
    "SchedulingGates": 0,
    "PrioritySort": 0,
    "NodeUnschedulable": 0,
    "NodeName": 0,
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodePorts": 0,
    "NodeResourcesFit": 1,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "DynamicResources": 0,
    "DefaultPreemption": 0,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
    "DefaultBinder": 0,
}
"""The steps of a profile that says nothing, in their order, with their weights."""

ABSENT = {
    **dict.fromkeys(
        ("VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone"), "volumes aren't looked at here"
    ),
    "DynamicResources": "no devices are allocated here",
    "NodeDeclaredFeatures": "features that nodes declare aren't looked at here",
    **dict.fromkeys(
        ("GangScheduling", "TopologyPlacementGenerator", "PodGroupPodsCount"), "pods aren't scheduled in groups here"
    ),
}
"""Steps that kube-scheduler has and this one hasn't, with what that means."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What steps need beside a pod and a node."""

    selector_of: Callable[[PodInfo], LabelSelector]
    evicting: Evicting
    nominated: Callable[[], Mapping[str, Sequence[PodInfo]]]
    budgets: Callable[[], Sequence[Budget]]
    create_binding: Create
    now: Callable[[], float]
    random: Random


def build_pipelines(profiles: Sequence[ProfileSettings], surroundings: Surroundings) -> dict[str, Pipeline]:
    """The pipeline of each profile, by its scheduler's name. Raises ConfigurationError."""
    pipelines: dict[str, Pipeline] = {}
    errors: list[FieldError] = []
    for settings in profiles:
        name = settings.scheduler_name
        steps = _steps(settings, surroundings, partial(pipelines.__getitem__, name), errors)
        points = _expanded(settings, steps, errors)
        if not points["queueSort"]:
            errors.append(FieldError.required(f"{settings.path}.plugins.queueSort", "no queue sort plugin is enabled"))
        if not points["bind"]:
            errors.append(FieldError.required(f"{settings.path}.plugins.bind", "at least one bind plugin is needed"))
        if errors:
            continue
        pipelines[name] = Pipeline(name, points, _weights(settings), settings.percentage)
    if errors:
        raise ConfigurationError("; ".join(f"{one.field}: {one.message}" for one in errors))
    return pipelines


def _steps(
    settings: ProfileSettings,
    around: Surroundings,
    pipeline_of: Callable[[], Pipeline],
    errors: list[FieldError],
) -> dict[str, Step]:
    """All steps that there are, made as the profile wants them."""

    def arguments(name: str) -> Arguments:
        return Arguments(settings.arguments.get(name, {}), f"{settings.path}.pluginConfig[{name}].args", errors)

    for name in settings.arguments:
        if name not in DEFAULTS and name not in ABSENT:
            errors.append(FieldError.not_found(f"{settings.path}.pluginConfig", name))
    hard_weight, ignores = arguments("InterPodAffinity").pod_affinity()
    constraints, are_system = arguments("PodTopologySpread").spreading()
    percentage, least = arguments("DefaultPreemption").preemption()
    steps: list[Step] = [
        SchedulingGates(),
        PrioritySort(),
        NodeUnschedulable(),
        NodeName(),
        TaintToleration(),
        NodeAffinity(*arguments("NodeAffinity").added_affinity()),
        NodePorts(),
        Fit(**arguments("NodeResourcesFit").fit()),
        PodTopologySpread(around.selector_of, constraints, system_defaults=are_system),
        InterPodAffinity(hard_weight=hard_weight, ignores_preferences_of_others=ignores),
        DynamicResources(),
        DefaultPreemption(
            around.evicting,
            pipeline_of,
            around.nominated,
            around.budgets,
            around.now,
            around.random,
            percentage=percentage,
            least=least,
        ),
        BalancedAllocation(arguments("NodeResourcesBalancedAllocation").balanced()),
        ImageLocality(),
        DefaultBinder(around.create_binding),
    ]
    return {step.name: step for step in steps}


def _expanded(settings: ProfileSettings, steps: Mapping[str, Step], errors: list[FieldError]) -> dict[str, list[Step]]:
    """The steps at each extension point, in their order."""
    everywhere = _merged(settings.plugins.get("multiPoint", PluginSet()))
    _check_names(settings, steps, errors)
    points: dict[str, list[Step]] = {}
    for point, implements in POINTS.items():
        given = settings.plugins.get(point, PluginSet())
        enabled = [name for name, _ in given.enabled if name in steps]
        for name in enabled:
            if not implements(steps[name]):
                path = f"{settings.path}.plugins.{point}"
                errors.append(FieldError.invalid(path, name, f"it has nothing to say at {point}"))
        others = [
            name
            for name in everywhere
            if name in steps and implements(steps[name]) and name not in given.disabled and "*" not in given.disabled
        ]
        # Those that are given here too keep the place that they are given; the others follow.
        overriding = [name for name in enabled if name in others]
        following = [name for name in enabled if name not in others]
        order = [*overriding, *(name for name in others if name not in overriding), *following]
        points[point] = [steps[name] for name in order]
    if len(points["queueSort"]) > 1:
        path = f"{settings.path}.plugins.queueSort"
        errors.append(FieldError.invalid(path, len(points["queueSort"]), "only one queue sort plugin can be enabled"))
    return points


def _merged(given: PluginSet) -> dict[str, int]:
    """The defaults with what a profile changes of them: names and weights, in order."""
    merged = {} if "*" in given.disabled else {k: v for k, v in DEFAULTS.items() if k not in given.disabled}
    for name, weight in given.enabled:
        merged[name] = weight or merged.get(name, 0)
    return merged


def _weights(settings: ProfileSettings) -> dict[str, int]:
    weights = {**_merged(settings.plugins.get("multiPoint", PluginSet()))}
    weights.update((name, weight) for name, weight in settings.plugins.get("score", PluginSet()).enabled if weight)
    return {name: weight or 1 for name, weight in weights.items()}


def _check_names(settings: ProfileSettings, steps: Mapping[str, Step], errors: list[FieldError]) -> None:
    for point, given in settings.plugins.items():
        for index, (name, _) in enumerate(given.enabled):
            path = f"{settings.path}.plugins.{point}.enabled[{index}]"
            if name in ABSENT:
                errors.append(FieldError.invalid(path, name, f"{ABSENT[name]}: remove it"))
            elif name not in steps:
                errors.append(FieldError.not_found(path, name))
