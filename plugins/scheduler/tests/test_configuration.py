"""KubeSchedulerConfiguration: what it may say, and what is said of mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from _schedulable import Placement

from hyperkube_scheduler.configuration import (
    Configuration,
    ConfigurationError,
    LeaderElection,
    PluginSet,
    ProfileSettings,
    parse_configuration,
    read_configuration,
    shown,
)
from hyperkube_scheduler.framework.interface import Step
from hyperkube_scheduler.profiles import DEFAULTS

HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}


def parse(**fields: Any) -> Configuration:
    return parse_configuration({**HEAD, **fields})


def test_an_empty_one_has_upstreams_defaults() -> None:
    found = parse()
    assert found == Configuration()
    assert [profile.scheduler_name for profile in found.profiles] == ["default-scheduler"]
    assert (found.percentage, found.initial_backoff, found.most_backoff) == (0, 1.0, 10.0)


def test_all_that_it_may_say_is_read() -> None:
    found = parse(
        percentageOfNodesToScore=30,
        podInitialBackoffSeconds=2,
        podMaxBackoffSeconds=20,
        parallelism=8,
        clientConnection={"kubeconfig": "/etc/k", "qps": 100, "burst": 200},
        leaderElection={"leaderElect": False, "leaseDuration": "30s", "resourceName": "mine"},
        profiles=[
            {
                "schedulerName": "batch",
                "percentageOfNodesToScore": 10,
                "plugins": {
                    "score": {"enabled": [{"name": "ImageLocality", "weight": 5}], "disabled": [{"name": "*"}]}
                },
                "pluginConfig": [{"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 7}}],
            }
        ],
    )
    assert (found.percentage, found.initial_backoff, found.most_backoff) == (30, 2.0, 20.0)
    assert (found.kubeconfig, found.qps, found.burst) == ("/etc/k", 100, 200)
    assert found.leader_election == LeaderElection(elects=False, lease=30.0, name="mine")
    profile = found.profiles[0]
    assert (profile.scheduler_name, profile.percentage) == ("batch", 10)
    assert profile.plugins == {"score": PluginSet((("ImageLocality", 5),), frozenset("*"))}
    assert profile.arguments == {"InterPodAffinity": {"hardPodAffinityWeight": 7}}


def test_what_is_shown_of_a_configuration_is_one_itself() -> None:
    election = LeaderElection(elects=True, lease=15.0, renew=10.0, retry=2.0, name="kube-scheduler", namespace="ns")
    configuration = replace(
        parse(
            percentageOfNodesToScore=30,
            clientConnection={"kubeconfig": "/etc/k", "qps": 100, "burst": 200},
            profiles=[
                {
                    "schedulerName": "batch",
                    "percentageOfNodesToScore": 10,
                    "plugins": {
                        "score": {"enabled": [{"name": "ImageLocality", "weight": 5}], "disabled": [{"name": "*"}]}
                    },
                    "pluginConfig": [{"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 7}}],
                }
            ],
        ),
        leader_election=election,
    )
    tree = shown(configuration, {"leaseDuration": 15.0, "renewDeadline": 10.0, "retryPeriod": 2.0})
    assert parse_configuration(tree) == configuration


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"speed": "high"}, "speed: Forbidden: there is no such field"),
        ({"percentageOfNodesToScore": 101}, "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"),
        ({"podInitialBackoffSeconds": 0}, "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"),
        (
            {"podInitialBackoffSeconds": 20},
            "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds",
        ),
        ({"parallelism": 0}, "parallelism: Invalid value: 0: should be an integer value greater than zero"),
        ({"extenders": [{"urlPrefix": "http://x"}]}, "extenders: Forbidden: no extender is asked here: remove them"),
        ({"profiles": [{}, {}]}, "profiles[0].schedulerName: Required value"),
        (
            {"profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]},
            'profiles[1].schedulerName: Duplicate value: "a"',
        ),
        (
            {"leaderElection": {"resourceLock": "endpoints"}},
            'leaderElection.resourceLock: Invalid value: "endpoints": resourceLock value must be "leases"',
        ),
        ({"profiles": [{"plugins": {"sort": {}}}]}, "profiles[0].plugins.sort: Forbidden: there is no such field"),
        (
            {"profiles": [{"pluginConfig": [{"name": "A"}, {"name": "A"}]}]},
            'profiles[0].pluginConfig[1]: Duplicate value: "A"',
        ),
    ],
)
def test_mistakes_are_told_by_field(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(**fields)
    assert complaint in str(raised.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(parallelism=-1, percentageOfNodesToScore=-1)
    assert "parallelism" in str(raised.value)
    assert "percentageOfNodesToScore" in str(raised.value)


def test_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    with pytest.raises(ConfigurationError, match=f"cannot read {file}"):
        read_configuration(file)
    file.write_text("apiVersion: v1\nkind: Pod\n")
    with pytest.raises(ConfigurationError, match=f"{file}: it is no KubeSchedulerConfiguration"):
        read_configuration(file)
    file.write_text("a: [")
    with pytest.raises(ConfigurationError, match=str(file)):
        read_configuration(file)


def profile(**fields: Any) -> ProfileSettings:
    return parse(profiles=[fields]).profiles[0]


def names(steps: list[Any]) -> list[str]:
    return [step.name for step in steps]


def test_the_default_profile_has_upstreams_steps_in_their_order() -> None:
    pipeline = Placement().pipeline
    assert names(pipeline.filters) == [
        "NodeUnschedulable",
        "NodeName",
        "TaintToleration",
        "NodeAffinity",
        "NodePorts",
        "NodeResourcesFit",
        "PodTopologySpread",
        "InterPodAffinity",
    ]
    assert {weighed.step.name: weighed.weight for weighed in pipeline.scores} == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "NodeResourcesFit": 1,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
    }
    assert names(pipeline.pre_enqueue) == ["SchedulingGates", "DefaultPreemption"]
    assert (names(pipeline.binds), names(pipeline.post_filters)) == (
        ["DefaultBinder"],
        ["DynamicResources", "DefaultPreemption"],
    )


def test_every_default_is_a_step() -> None:
    pipeline = Placement().pipeline
    everywhere: list[list[Step]] = [
        [*pipeline.pre_enqueue],
        [pipeline.queue_sort],
        [*pipeline.filters],
        [*pipeline.post_filters],
        [weighed.step for weighed in pipeline.scores],
        [*pipeline.binds],
    ]
    assert {step.name for steps in everywhere for step in steps} == set(DEFAULTS)


def test_steps_are_turned_off_and_weighed() -> None:
    settings = profile(
        plugins={
            "multiPoint": {"enabled": [{"name": "ImageLocality", "weight": 9}], "disabled": [{"name": "NodePorts"}]},
            "score": {"enabled": [{"name": "NodeAffinity", "weight": 4}], "disabled": [{"name": "TaintToleration"}]},
        }
    )
    pipeline = Placement(settings=settings).pipeline
    assert "NodePorts" not in names(pipeline.filters)
    assert "TaintToleration" in names(pipeline.filters)
    weights = {weighed.step.name: weighed.weight for weighed in pipeline.scores}
    assert (weights["ImageLocality"], weights["NodeAffinity"]) == (9, 4)
    assert "TaintToleration" not in weights


def test_what_is_given_at_a_point_goes_first_there() -> None:
    settings = profile(plugins={"filter": {"enabled": [{"name": "NodeResourcesFit"}, {"name": "NodeName"}]}})
    assert names(Placement(settings=settings).pipeline.filters)[:3] == [
        "NodeResourcesFit",
        "NodeName",
        "NodeUnschedulable",
    ]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        (
            {"plugins": {"filter": {"enabled": [{"name": "VolumeBinding"}]}}},
            'profiles[0].plugins.filter.enabled[0]: Invalid value: "VolumeBinding": volumes aren\'t looked at here',
        ),
        ({"plugins": {"filter": {"enabled": [{"name": "Mine"}]}}}, 'plugins.filter.enabled[0]: Not found: "Mine"'),
        (
            {"plugins": {"score": {"enabled": [{"name": "NodePorts"}]}}},
            'profiles[0].plugins.score: Invalid value: "NodePorts": it has nothing to say at score',
        ),
        ({"plugins": {"queueSort": {"disabled": [{"name": "*"}]}}}, "no queue sort plugin is enabled"),
        ({"plugins": {"bind": {"disabled": [{"name": "*"}]}}}, "at least one bind plugin is needed"),
        ({"pluginConfig": [{"name": "Mine"}]}, 'profiles[0].pluginConfig: Not found: "Mine"'),
        (
            {"pluginConfig": [{"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 101}}]},
            "args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
        ),
        (
            {"pluginConfig": [{"name": "InterPodAffinity", "args": {"weight": 1}}]},
            "args.weight: Forbidden: there is no such field",
        ),
        (
            {"pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "Random"}}}]},
            'scoringStrategy.type: Unsupported value: "Random"',
        ),
        (
            {"pluginConfig": [{"name": "NodeResourcesFit", "args": {"ignoredResourceGroups": ["a/b"]}}]},
            "resource group name can't contain '/'",
        ),
        (
            {
                "pluginConfig": [
                    {
                        "name": "NodeResourcesFit",
                        "args": {
                            "scoringStrategy": {
                                "type": "RequestedToCapacityRatio",
                                "requestedToCapacityRatio": {"shape": [{"utilization": 50}, {"utilization": 50}]},
                            }
                        },
                    }
                ]
            },
            "values must be sorted in increasing order",
        ),
        (
            {
                "pluginConfig": [
                    {"name": "PodTopologySpread", "args": {"defaultConstraints": [{"maxSkew": 1}]}},
                ]
            },
            'defaultingType: Invalid value: "System": when .defaultConstraints are not empty',
        ),
        (
            {
                "pluginConfig": [
                    {
                        "name": "PodTopologySpread",
                        "args": {
                            "defaultingType": "List",
                            "defaultConstraints": [{"maxSkew": 0, "labelSelector": {}}],
                        },
                    },
                ]
            },
            "constraint must not define a selector, as they deduced for each pod",
        ),
        (
            {
                "pluginConfig": [
                    {
                        "name": "DefaultPreemption",
                        "args": {"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 0},
                    }
                ]
            },
            "cannot be zero at the same time as minCandidateNodesAbsolute",
        ),
    ],
)
def test_a_profile_that_cannot_be_is_told(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Placement(settings=profile(**fields))
    assert complaint in str(raised.value)


def test_what_this_scheduler_has_not_may_be_turned_off() -> None:
    settings = profile(plugins={"multiPoint": {"disabled": [{"name": "VolumeBinding"}]}})
    assert names(Placement(settings=settings).pipeline.filters)
