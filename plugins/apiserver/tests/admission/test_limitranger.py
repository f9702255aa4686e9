"""LimitRanger: what containers get that ask for nothing, and what is too little or too much."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

PLUGIN = "LimitRanger"
ANNOTATION = "kubernetes.io/limit-ranger"

Tree = dict[str, Any]


def limited(world: Any, *limits: Tree, name: str = "l") -> None:
    world.add("limitranges", name, "ns", spec={"limits": list(limits)})


def pod(*containers: Tree, init: tuple[Tree, ...] = (), **spec: Any) -> Tree:
    named = [{"name": f"c{index}", "resources": one} for index, one in enumerate(containers)]
    before = [{"name": f"i{index}", **one} for index, one in enumerate(init)]
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": named, **({"initContainers": before} if init else {}), **spec},
    }


def claim(size: str) -> Tree:
    return {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": size}}}}


class TestDefaults:
    async def test_a_container_that_asks_for_nothing_gets_the_defaults(self, world: Any) -> None:
        defaults = {"default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}
        limited(world, {"type": "Container", **defaults})
        given = pod({}, {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}, init=({"resources": {}},))
        made = await world.ask(PLUGIN, "pods", given)
        assert made["spec"]["containers"][0]["resources"] == {
            "requests": {"cpu": "100m"},
            "limits": {"cpu": "1", "memory": "1Gi"},
        }
        assert made["spec"]["containers"][1]["resources"] == {
            "requests": {"cpu": "1"},
            "limits": {"cpu": "2", "memory": "1Gi"},
        }
        assert made["metadata"]["annotations"] == {
            ANNOTATION: "LimitRanger plugin set: cpu request for container c0; cpu, memory limit for container c0; "
            "memory limit for container c1; cpu request for init container i0; cpu, memory limit for init container i0"
        }
        assert await world.unaffected(PLUGIN, "pods", given)

    async def test_of_several_the_first_that_speaks_of_a_resource_gives_it(self, world: Any) -> None:
        limited(world, {"type": "Container", "default": {"cpu": "1"}}, name="a")
        limited(world, {"type": "Container", "default": {"cpu": "2", "memory": "1Gi"}}, name="b")
        made = await world.ask(PLUGIN, "pods", pod({}))
        assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1", "memory": "1Gi"}}

    async def test_limits_of_other_types_and_namespaces_give_none(self, world: Any) -> None:
        limited(world, {"type": "Pod", "max": {"cpu": "1"}})
        world.add("limitranges", "l", "other", spec={"limits": [{"type": "Container", "default": {"cpu": "1"}}]})
        given = pod({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})
        assert await world.ask(PLUGIN, "pods", given) == given


CPU: Tree = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}


@pytest.mark.parametrize(
    ("limit", "resources", "why"),
    [
        ({"min": {"cpu": "1"}}, {}, "minimum cpu usage per Container is 1.  No request is specified"),
        ({"min": {"cpu": "1"}}, CPU, "minimum cpu usage per Container is 1, but request is 500m"),
        (
            {"min": {"cpu": "2"}},
            {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
            "minimum cpu usage per Container is 2, but limit is 1",
        ),
        ({"max": {"cpu": "1"}}, {}, "maximum cpu usage per Container is 1.  No limit is specified"),
        ({"max": {"cpu": "800m"}}, CPU, "maximum cpu usage per Container is 800m, but limit is 1"),
        (
            {"max": {"cpu": "1"}},
            {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
            "maximum cpu usage per Container is 1, but request is 2",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"limits": {"cpu": "1"}},
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "1"}},
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "1500m"}},
            CPU,
            "cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000",
        ),
        (
            {"min": {"memory": "1"}, "max": {"cpu": "800m"}},
            CPU,
            "[minimum memory usage per Container is 1.  No request is specified, maximum cpu usage per Container is "
            "800m, but limit is 1]",
        ),
    ],
)
async def test_a_container_keeps_within_bounds(world: Any, limit: Tree, resources: Tree, why: str) -> None:
    limited(world, {"type": "Container", **limit})
    assert await world.refusal(PLUGIN, "pods", pod(resources)) == f'pods "p" is forbidden: {why}'
    fine = {"requests": {"cpu": "2", "memory": "9Gi"}, "limits": {"cpu": "2", "memory": "9Gi"}}
    init = pod(fine, init=({"resources": resources},))
    if "max" not in limit:
        assert await world.refusal(PLUGIN, "pods", init) == f'pods "p" is forbidden: {why}'
        assert await world.ask(PLUGIN, "pods", pod(fine)) == pod(fine)
    assert await world.unaffected(PLUGIN, "pods", pod(resources))


async def test_what_is_wrong_with_several_containers_is_told_once(world: Any) -> None:
    limited(world, {"type": "Container", "max": {"cpu": "800m"}})
    told = await world.refusal(PLUGIN, "pods", pod(CPU, CPU))
    assert told == 'pods "p" is forbidden: maximum cpu usage per Container is 800m, but limit is 1'


class TestPods:
    @pytest.mark.parametrize(
        ("limit", "why"),
        [
            ({"max": {"cpu": "1500m"}}, "maximum cpu usage per Pod is 1500m, but limit is 2"),
            ({"min": {"cpu": "1200m"}}, "minimum cpu usage per Pod is 1200m, but request is 1"),
            (
                {"maxLimitRequestRatio": {"cpu": "1"}},
                "cpu max limit to request ratio per Pod is 1, but provided ratio is 2.000000",
            ),
        ],
    )
    async def test_its_containers_are_taken_together(self, world: Any, limit: Tree, why: str) -> None:
        limited(world, {"type": "Pod", **limit})
        assert await world.refusal(PLUGIN, "pods", pod(CPU, CPU)) == f'pods "p" is forbidden: {why}'

    async def test_init_containers_count_as_they_run(self, world: Any) -> None:
        limited(world, {"type": "Pod", "max": {"cpu": "2"}})
        await world.ask(PLUGIN, "pods", pod(CPU, init=({"resources": {"limits": {"cpu": "2"}}},)))
        sidecar = {"restartPolicy": "Always", "resources": {"limits": {"cpu": "1500m"}}}
        told = await world.refusal(PLUGIN, "pods", pod(CPU, init=(sidecar,)))
        assert told == 'pods "p" is forbidden: maximum cpu usage per Pod is 2, but limit is 2500m'

    async def test_what_it_says_of_itself_goes_before_its_containers(self, world: Any) -> None:
        limited(world, {"type": "Pod", "max": {"cpu": "1"}})
        whole: Any = {"resources": {"limits": {"cpu": "3"}}}
        told = await world.refusal(PLUGIN, "pods", pod({"limits": {"cpu": "1"}}, **whole))
        assert told == 'pods "p" is forbidden: maximum cpu usage per Pod is 1, but limit is 3'


class TestClaims:
    @pytest.mark.parametrize(
        ("size", "why"),
        [
            ("500Mi", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"),
            ("6Gi", "maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 6Gi"),
        ],
    )
    async def test_a_claim_keeps_within_bounds(self, world: Any, size: str, why: str) -> None:
        limited(world, {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "5Gi"}})
        told = await world.refusal(PLUGIN, "persistentvolumeclaims", claim(size))
        assert told == f'persistentvolumeclaims "c" is forbidden: {why}'
        told = await world.refusal(PLUGIN, "persistentvolumeclaims", claim(size), old=claim("2Gi"))
        assert told == f'persistentvolumeclaims "c" is forbidden: {why}'
        await world.ask(PLUGIN, "persistentvolumeclaims", claim("2Gi"))

    async def test_one_that_says_nothing_of_what_is_bounded_is_refused(self, world: Any) -> None:
        limited(world, {"type": "PersistentVolumeClaim", "max": {"other": "1"}})
        told = await world.refusal(PLUGIN, "persistentvolumeclaims", claim("1Gi"))
        assert told.endswith("maximum other usage per PersistentVolumeClaim is 1.  No request is specified")


class TestUpdates:
    async def test_a_resize_keeps_within_bounds(self, world: Any) -> None:
        limited(world, {"type": "Container", "max": {"cpu": "800m"}})
        old = pod({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}})
        await world.refusal(PLUGIN, "pods", pod(CPU), old=old, subresource="resize")

    async def test_other_updates_of_pods_say_nothing_new(self, world: Any) -> None:
        limited(world, {"type": "Container", "max": {"cpu": "800m"}, "default": {"memory": "1"}})
        for subresource in ("", "status", "ephemeralcontainers"):
            assert await world.ask(PLUGIN, "pods", pod(CPU), old=pod(CPU), subresource=subresource) == pod(CPU)

    async def test_what_is_being_deleted_is_let_alone(self, world: Any) -> None:
        limited(world, {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}})
        going = {**claim("2Gi"), "metadata": {"name": "c", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
        assert await world.ask(PLUGIN, "persistentvolumeclaims", going, old=going) == going


async def test_amounts_too_large_for_thousandths_are_compared_in_whole_units(world: Any) -> None:
    limited(world, {"type": "PersistentVolumeClaim", "max": {"storage": "9E"}})
    told = await world.refusal(PLUGIN, "persistentvolumeclaims", claim("9.1E"))
    assert told.endswith("maximum storage usage per PersistentVolumeClaim is 9E, but request is 9100P")
