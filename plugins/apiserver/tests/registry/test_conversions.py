"""Versions of one kind: nothing is lost on the way there and back, and what can't be read does no harm."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.registry.conversions import versions
from hyperkube_machinery.schema import Schemas

KINDS = load_kinds()
VERSIONS = versions(KINDS)
AUTOSCALER = VERSIONS["autoscaling", "v1", "horizontalpodautoscalers"]
EVENT = VERSIONS["events.k8s.io", "v1", "events"]
PREFIX = "autoscaling.alpha.kubernetes.io/"

Tree = dict[str, Any]

words = st.text("abcxyz<&>é ", min_size=1, max_size=6)
amounts = st.sampled_from(["1", "30", "100m", "2Gi", "1500m", "1e3"])
numbers = st.integers(1, 2**31 - 1)
times = st.sampled_from(["2020-01-01T00:00:00Z", "2026-11-22T08:00:00Z"])
selectors = st.fixed_dictionaries({"matchLabels": st.dictionaries(words, words, min_size=1, max_size=2)})
metric_names = st.fixed_dictionaries({"name": words}, optional={"selector": selectors})
objects = st.fixed_dictionaries({"kind": words, "name": words}, optional={"apiVersion": words})
shares = st.one_of(
    st.fixed_dictionaries({"type": st.just("Utilization"), "averageUtilization": numbers}),
    st.fixed_dictionaries({"type": st.just("AverageValue"), "averageValue": amounts}),
)
averages = st.fixed_dictionaries({"type": st.just("AverageValue"), "averageValue": amounts})
values = st.one_of(averages, st.fixed_dictionaries({"type": st.just("Value"), "value": amounts}))
current_shares = st.fixed_dictionaries({"averageValue": amounts}, optional={"averageUtilization": numbers})
current_averages = st.fixed_dictionaries({"averageValue": amounts})
current_values = st.fixed_dictionaries({"value": amounts}, optional={"averageValue": amounts})


def sources(field: str, shared: Any, averaged: Any, valued: Any) -> Any:
    """Metrics but for the utilization of CPU; `field` is where their values stand."""

    def one(kind: str, name: str, said: dict[str, Any]) -> Any:
        return st.fixed_dictionaries({"type": st.just(kind), name: st.fixed_dictionaries(said)})

    return st.one_of(
        one("Resource", "resource", {"name": st.just("memory"), field: shared}),
        one("ContainerResource", "containerResource", {"name": words, "container": words, field: shared}),
        one("Pods", "pods", {"metric": metric_names, field: averaged}),
        one("Object", "object", {"metric": metric_names, "describedObject": objects, field: valued}),
        one("External", "external", {"metric": metric_names, field: valued}),
    )


rules = st.fixed_dictionaries(
    {},
    optional={
        "stabilizationWindowSeconds": numbers,
        "selectPolicy": words,
        "policies": st.lists(
            st.fixed_dictionaries({"type": words, "value": numbers, "periodSeconds": numbers}), min_size=1, max_size=2
        ),
        "tolerance": amounts,
    },
)
conditions = st.fixed_dictionaries(
    {"type": words, "status": words, "lastTransitionTime": times}, optional={"reason": words, "message": words}
)


@st.composite
def autoscalers(draw: st.DrawFn) -> Tree:
    """What v1 can tell: one utilization of CPU at most, behind all other metrics."""
    cpu: Tree = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}
    metrics = draw(st.lists(sources("target", shares, averages, values), max_size=3))
    utilization = draw(st.none() | numbers)
    if utilization is not None or not metrics:
        cpu["resource"]["target"]["averageUtilization"] = utilization or 80
        metrics = [*metrics, cpu]
    spec = {"scaleTargetRef": draw(objects), "maxReplicas": draw(numbers), "minReplicas": 1, "metrics": metrics}
    if draw(st.booleans()):
        spec["behavior"] = draw(st.fixed_dictionaries({"scaleUp": rules}, optional={"scaleDown": rules}))
    status: Tree = {"currentReplicas": draw(numbers), "desiredReplicas": 2}
    status["currentMetrics"] = draw(
        st.lists(sources("current", current_shares, current_averages, current_values), max_size=2)
    )
    status["conditions"] = draw(st.lists(conditions, max_size=2))
    metadata: Tree = {"name": "a", "annotations": draw(st.dictionaries(words, words, max_size=2))}
    return normal("autoscaling", "v2", {"metadata": metadata, "spec": spec, "status": status})


def normal(group: str, version: str, tree: Tree) -> Tree:
    kind = next(one for key, one in KINDS.items() if key[:2] == (group, version) and one.storage_prefix)
    if group == "":
        kind = KINDS["", "v1", "events"]
    typed = {"kind": kind.resource.kind, "apiVersion": kind.resource.api_version}
    return typed | Schemas.load().walker(kind.definition).read(tree)[0]


@given(autoscalers())
def test_an_autoscaler_survives_the_way_through_v1(stored: Tree) -> None:
    before = copy.deepcopy(stored)
    shown = AUTOSCALER.from_stored(stored)
    assert stored == before
    assert AUTOSCALER.to_stored(shown) == stored


@given(
    st.fixed_dictionaries(
        {
            "spec": st.fixed_dictionaries(
                {"scaleTargetRef": objects, "maxReplicas": numbers, "targetCPUUtilizationPercentage": numbers},
                optional={"minReplicas": numbers},
            ),
            "metadata": st.fixed_dictionaries({"name": words}, optional={"labels": st.dictionaries(words, words)}),
            "status": st.fixed_dictionaries(
                {"desiredReplicas": numbers}, optional={"currentReplicas": numbers, "lastScaleTime": times}
            ),
        }
    )
)
def test_what_v1_says_in_fields_survives_being_stored(tree: Tree) -> None:
    sent = normal("autoscaling", "v1", tree)
    assert AUTOSCALER.from_stored(AUTOSCALER.to_stored(sent)) == sent


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from([f"{PREFIX}{name}" for name in ("metrics", "current-metrics", "behavior", "conditions")]),
        st.one_of(words, anything.map(json.dumps)),
    )
)
def test_annotations_that_hold_nonsense_are_dropped(annotations: dict[str, str]) -> None:
    sent = {"metadata": {"name": "a", "annotations": annotations}, "spec": {"targetCPUUtilizationPercentage": 7}}
    stored = AUTOSCALER.to_stored(normal("autoscaling", "v1", sent))
    assert not [key for key in stored["metadata"].get("annotations") or () if key.startswith(PREFIX)]
    assert stored["spec"]["metrics"][-1]["resource"]["target"]["averageUtilization"] == 7
    assert AUTOSCALER.from_stored(stored)


@given(
    st.fixed_dictionaries(
        {"metadata": st.just({"name": "a"})},
        optional={
            "involvedObject": objects,
            "related": objects,
            "message": words,
            "reason": words,
            "count": numbers,
            "source": st.fixed_dictionaries({"component": words}),
            "firstTimestamp": times,
            "reportingComponent": words,
            "series": st.fixed_dictionaries({"count": numbers}),
        },
    )
)
def test_an_event_survives_the_way_through_the_other_group(tree: Tree) -> None:
    stored = normal("", "v1", tree)
    shown = EVENT.from_stored(stored)
    assert shown.get("note") == tree.get("message")
    assert EVENT.to_stored(shown) == stored


def test_an_autoscaler_tells_in_annotations_what_v1_has_no_fields_for() -> None:
    behavior = {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}}
    target = {"type": "AverageValue", "averageValue": "100Mi"}
    spec = {"metrics": [{"type": "Resource", "resource": {"name": "memory", "target": target}}], "behavior": behavior}
    condition = {"type": "AbleToScale", "status": "True", "lastTransitionTime": None, "reason": "<a>"}
    status = {"conditions": [condition]}
    shown = AUTOSCALER.from_stored(
        normal("autoscaling", "v2", {"metadata": {"name": "a"}, "spec": spec, "status": status})
    )
    assert shown["metadata"]["annotations"] == {
        f"{PREFIX}metrics": '[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"100Mi"}}]',
        f"{PREFIX}behavior": (
            '{"ScaleUp":{"StabilizationWindowSeconds":null,"SelectPolicy":null,'
            '"Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":null}'
        ),
        f"{PREFIX}conditions": (
            '[{"type":"AbleToScale","status":"True","lastTransitionTime":null,"reason":"\\u003ca\\u003e"}]'
        ),
    }
    assert "targetCPUUtilizationPercentage" not in shown["spec"]


@pytest.mark.parametrize("key", VERSIONS)
def test_whatever_is_empty_can_be_told_in_every_version(key: Any) -> None:
    version = VERSIONS[key]
    assert version.to_stored(version.from_stored({"metadata": {}}))["kind"] == KINDS[key].resource.kind
