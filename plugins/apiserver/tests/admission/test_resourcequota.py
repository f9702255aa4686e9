"""ResourceQuota: what a request is charged, and why it is refused, quota by quota."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.admission import AdmissionSettings, build_chain
from hyperkube_apiserver.admission.configuration import ConfigurationError
from hyperkube_apiserver.admission.quotacharges import LimitedResource, Standing, charge
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.quota import NOTHING_KNOWN, Evaluators, Requirement, written

Tree = dict[str, Any]

PLUGIN = "ResourceQuota"
HEAD = {"kind": "ResourceQuotaConfiguration", "apiVersion": "apiserver.config.k8s.io/v1"}


def standing(name: str = "q", *, hard: Tree, used: Tree | None = None, **spec: Any) -> Standing:
    status = {"hard": hard, "used": dict.fromkeys(hard, "0") if used is None else used}
    return Standing.of({"metadata": {"name": name}, "spec": {"hard": hard, **spec}, "status": status})


def pod(cpu: str = "", **spec: Any) -> Tree:
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}], **spec}}


def service(kind: str, ports: int = 1) -> Tree:
    return {"metadata": {"name": "s"}, "spec": {"type": kind, "ports": [{"port": 80 + n} for n in range(ports)]}}


def charged(
    world: Any,
    address: str,
    obj: Tree,
    *standings: Standing,
    old: Tree | None = None,
    limited: tuple[LimitedResource, ...] = (),
    subresource: str = "",
) -> dict[str, Tree]:
    """What is used of each quota that a request is charged to."""
    kind = world.kind(address)
    attributes = Attributes(
        kind=kind,
        operation=Operation.CREATE if old is None else Operation.UPDATE,
        name=obj["metadata"]["name"],
        namespace="ns",
        subresource=subresource,
        obj=obj,
        old=old,
        identity=world.identity,
        warn=lambda text: None,
    )
    evaluator = Evaluators(NOTHING_KNOWN, lambda: 0.0).of(kind.resource.group, kind.resource.resource)
    assert evaluator is not None
    charges = charge(standings, attributes, evaluator, limited)
    return {standings[index].name: written(used) for index, used in charges.items()}


def refused(world: Any, *args: Any, code: int = 403, **request: Any) -> str:
    with pytest.raises(APIError) as caught:
        charged(world, *args, **request)
    assert caught.value.code == code
    return str(caught.value)


pytestmark = pytest.mark.anyio


async def test_each_quota_that_counts_a_request_is_charged(world: Any) -> None:
    quotas = [
        standing("pods", hard={"pods": "2"}, used={"pods": "1"}),
        standing("cpu", hard={"requests.cpu": "2", "secrets": "1"}),
        standing("secrets", hard={"secrets": "0"}),
        standing("best-effort", hard={"pods": "0"}, scopes=["BestEffort"]),
    ]
    assert charged(world, "pods", pod("500m"), *quotas) == {
        "pods": {"pods": "2"},
        "cpu": {"requests.cpu": "500m", "secrets": "0"},
    }


async def test_what_is_too_much_is_told_with_what_there_is(world: Any) -> None:
    quota = standing(
        hard={"pods": "1", "requests.cpu": "2", "cpu": "9"}, used={"pods": "1", "requests.cpu": "1", "cpu": "1"}
    )
    assert refused(world, "pods", pod("1500m"), quota) == (
        'pods "p" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=1500m, used: pods=1,requests.cpu=1, '
        "limited: pods=1,requests.cpu=2"
    )


async def test_what_is_over_already_does_not_keep_others_out(world: Any) -> None:
    quota = standing(hard={"pods": "9", "services": "1"}, used={"pods": "1", "services": "5"})
    assert charged(world, "pods", pod(), quota) == {"q": {"pods": "2", "services": "5"}}


async def test_a_container_must_say_what_is_counted(world: Any) -> None:
    told = refused(world, "pods", pod(), standing(hard={"requests.cpu": "1"}))
    assert told == 'pods "p" is forbidden: failed quota: q: must specify requests.cpu for: c'


async def test_what_was_never_counted_is_not_charged(world: Any) -> None:
    told = refused(world, "pods", pod(), standing(hard={"pods": "1", "count/pods": "5"}, used={"pods": "0"}))
    assert told == 'pods "p" is forbidden: status unknown for quota: q, resources: count/pods,pods'


async def test_what_is_used_is_never_less_than_nothing(world: Any) -> None:
    told = refused(world, "pods", pod("-1"), standing(hard={"pods": "5"}))
    assert told == 'pods "p" is forbidden: quota usage is negative for resource(s): cpu,requests.cpu'


async def test_an_update_is_charged_the_difference(world: Any) -> None:
    quota = standing(hard={"services.nodeports": "5"}, used={"services.nodeports": "3"})
    grown = charged(world, "services", service("NodePort", 4), quota, old=service("NodePort", 2))
    assert grown == {"q": {"services.nodeports": "5"}}
    assert charged(world, "services", service("ClusterIP"), quota, old=service("NodePort", 2)) == {}
    told = refused(world, "services", service("NodePort", 5), quota, old=service("NodePort", 2))
    assert told.endswith("requested: services.nodeports=3, used: services.nodeports=3, limited: services.nodeports=5")


async def test_what_comes_into_a_scope_is_charged_whole(world: Any) -> None:
    quota = standing(hard={"pods": "5"}, scopes=["Terminating"])
    assert charged(world, "pods", pod(activeDeadlineSeconds=5), quota, old=pod()) == {"q": {"pods": "1"}}


async def test_a_status_is_charged_and_never_refused(world: Any) -> None:
    claim = {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    grown = {**claim, "status": {"allocatedResources": {"storage": "3Gi"}}}
    quota = standing(hard={"requests.storage": "2Gi"}, used={"requests.storage": "1Gi"})
    found = charged(world, "persistentvolumeclaims", grown, quota, old=claim, subresource="status")
    assert found == {"q": {"requests.storage": "3Gi"}}


class TestLimitedResources:
    async def test_what_must_be_bounded_is_refused_without_a_quota(self, world: Any) -> None:
        limited = (LimitedResource("", "pods", ("cpu",), ()),)
        told = refused(world, "pods", pod("1"), limited=limited)
        assert told == 'pods "p" is forbidden: insufficient quota to consume: cpu,requests.cpu'
        assert charged(world, "pods", pod(), limited=limited) == {}
        quota = standing(hard={"cpu": "5", "requests.cpu": "5"})
        assert charged(world, "pods", pod("1"), quota, limited=limited) == {"q": {"cpu": "1", "requests.cpu": "1"}}
        other = (LimitedResource("apps", "pods", ("cpu",), ()),)
        assert charged(world, "pods", pod("1"), limited=other) == {}

    async def test_scopes_that_must_be_bounded_are_refused_without_a_quota(self, world: Any) -> None:
        scope = Requirement("PriorityClass", "In", ("high", "higher"))
        limited = (LimitedResource("", "pods", (), (scope,)),)
        told = refused(world, "pods", pod(priorityClassName="high"), limited=limited, code=500)
        assert told == "insufficient quota to match these scopes: [{PriorityClass In [high higher]}]"
        assert charged(world, "pods", pod(priorityClassName="low"), limited=limited) == {}
        selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}
        quota = standing(hard={"pods": "5"}, scopeSelector=selector)
        assert charged(world, "pods", pod(priorityClassName="high"), quota, limited=limited) == {"q": {"pods": "1"}}

    async def test_the_plugin_reads_them_from_its_configuration(self, world: Any) -> None:
        told = {**HEAD, "limitedResources": [{"resource": "pods", "matchContains": ["pods"]}]}
        world.settings = AdmissionSettings(configurations={PLUGIN: told})
        refusal = await world.refusal(PLUGIN, "pods", pod())
        assert refusal == 'pods "p" is forbidden: insufficient quota to consume: count/pods,pods'

    @pytest.mark.parametrize(
        ("told", "why"),
        [
            ("x", "its configuration is no ResourceQuotaConfiguration"),
            ({**HEAD, "kind": "Configuration"}, "its configuration is no ResourceQuotaConfiguration"),
            ({**HEAD, "odd": 1}, 'unknown field "odd"'),
            ({**HEAD, "limitedResources": [{}]}, r"limitedResources\[0\].resource: Required value"),
            ({**HEAD, "limitedResources": [1]}, r"limitedResources\[0\]: must be an object"),
            ({**HEAD, "limitedResources": [{"resource": "pods", "x": 1}]}, 'unknown field "x"'),
        ],
    )
    async def test_a_bad_configuration_is_refused(self, world: Any, told: Any, why: str) -> None:
        settings = AdmissionSettings(plugins=(PLUGIN,), configurations={PLUGIN: told})
        with pytest.raises(ConfigurationError, match=why):
            build_chain(world.cluster, settings)


@pytest.mark.parametrize(
    ("address", "obj", "request_"),
    [
        ("events", {"metadata": {"name": "e"}}, {}),
        ("nodes", {"metadata": {"name": "n"}}, {}),
        ("configmaps", {"metadata": {"name": "c"}}, {"old": {"metadata": {"name": "c"}}}),
        ("pods", {"metadata": {"name": "p"}}, {"subresource": "binding"}),
    ],
)
async def test_what_is_never_counted_is_let_alone(world: Any, address: str, obj: Tree, request_: Tree) -> None:
    hard = dict.fromkeys(("count/events", "count/nodes", "configmaps", "pods", "count/pods"), "0")
    world.add("resourcequotas", "q", "ns", spec={"hard": hard}, status={"hard": hard, "used": hard})
    assert await world.ask(PLUGIN, address, obj, **request_) == obj
