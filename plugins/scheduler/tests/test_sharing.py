"""What equal pods share is what each would have been told itself."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from _schedulable import PREFERRED, Placement, node, pod

from hyperkube_scheduler.framework.interface import Normalize
from hyperkube_scheduler.nodeinfo import NodeFacts
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.sharing import Sharing

TAINTS = [{"key": "k", "effect": effect} for effect in ("NoSchedule", "PreferNoSchedule")]


def random_node(name: str, random: Random) -> dict[str, Any]:
    return node(
        name,
        cpu=str(random.choice([1, 2, 4])),
        pods=random.choice([2, 5, 10]),
        labels={"disk": random.choice(["ssd", "hdd"])},
        taints=random.sample(TAINTS, random.randrange(3)),
        unschedulable=random.random() < 0.1,
    )


def random_pod(name: str, random: Random) -> PodInfo:
    preferred = [
        {"weight": 5, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}}
    ]
    templates: list[dict[str, Any]] = [
        {},
        {"cpu": "500m", "memory": "1Gi"},
        {"cpu": "1", "tolerations": [{"operator": "Exists"}]},
        {"nodeSelector": {"disk": "ssd"}},
        {"affinity": {"nodeAffinity": {PREFERRED: preferred}}},
        {"containers": [{"name": "c", "image": "x", "ports": [{"hostPort": 80}]}]},
    ]
    return pod(name, **random.choice(templates))


@pytest.mark.parametrize("seed", range(5))
def test_verdicts_and_points_are_those_of_a_fresh_look(seed: int) -> None:
    random = Random(seed)
    placement = Placement([random_node(f"n{index}", random) for index in range(12)], seed=seed)
    sharing = Sharing(placement.pipeline)
    for step in range(150):
        wanted = random_pod(f"p{step}", random)
        cycle = placement.cycle(wanted)
        equal = sharing.of(wanted.template)
        equal.catch_up(cycle)
        for one in placement.cache.nodes:
            fresh = placement.pipeline.filter(cycle, one)
            known = equal.verdicts[one.index]
            if known is not None and known.step == "":
                known = equal.judge(cycle, one)
            assert (known and known.reasons) == (fresh and fresh.reasons)
            if fresh is None:
                points = sum(
                    weighed.weight * weighed.step.score(cycle, [one])[0]
                    for weighed in placement.pipeline.scores
                    if weighed.step.local and not isinstance(weighed.step, Normalize)
                    if _applies(placement, weighed.step.name, wanted)
                )
                assert equal.points[one.index] == points
        _change(placement, random, step)
        placement.place(wanted)


def _applies(placement: Placement, step: str, wanted: PodInfo) -> bool:
    cycle = placement.cycle(wanted)
    return all(one.pre_score(cycle, ()) is None for one in placement.pipeline.pre_scores if one.name == step)


def _change(placement: Placement, random: Random, step: int) -> None:
    """Something that happens in clusters."""
    match random.randrange(6):
        case 0:
            placement.cache.set_node(NodeFacts(random_node(f"n{random.randrange(15)}", random)))
        case 1:
            placement.cache.remove_node(f"n{random.randrange(15)}")
        case 2:
            placement.cache.remove_pod(f"uid-p{random.randrange(step + 1)}")


def test_equal_pods_cost_a_look_at_what_changed() -> None:
    placement = Placement([node(f"n{index}") for index in range(20)])
    asked: list[str] = []
    step = next(step for step in placement.pipeline.filters if step.name == "NodeResourcesFit")
    original = step.filter

    def counting(cycle: Any, one: Any) -> Any:
        asked.append(one.name)
        return original(cycle, one)

    step.filter = counting  # type: ignore[method-assign, assignment]
    first = placement.place(pod("p0", cpu="100m"))
    assert len(asked) == 20
    asked.clear()
    placement.place(pod("p1", cpu="100m"))
    assert asked == [first]
