"""How long what is stopped is given, and who waits for whom."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_kubelet.pods.grace import shortened
from hyperkube_kubelet.pods.killing import LEAST_GRACE, grace_of, prerequisites

from ..builders import container, pod, sidecar

TOLD = {"meta_deletionGracePeriodSeconds": 10}


@pytest.mark.parametrize(
    ("known", "of_pod", "asked", "grace"),
    [
        (None, {}, None, 30),
        (None, {"terminationGracePeriodSeconds": 5}, None, 5),
        (None, TOLD, None, 10),
        (4, TOLD, None, 4),
        (20, TOLD, None, 10),
        (None, TOLD, 3, 3),
        (None, {"meta_deletionGracePeriodSeconds": 0}, None, 1),
    ],
)
def test_a_pod_has_the_least_that_anybody_says(
    known: int | None, of_pod: dict[str, Any], asked: int | None, grace: int
) -> None:
    assert shortened(known, pod(**of_pod), asked) == grace


@pytest.mark.parametrize(
    ("of_pod", "probe", "reason", "grace"),
    [
        ({"terminationGracePeriodSeconds": 20}, {}, "", 20),
        ({"terminationGracePeriodSeconds": 20}, {"terminationGracePeriodSeconds": 3}, "LivenessProbe", 3),
        ({"terminationGracePeriodSeconds": 20}, {"terminationGracePeriodSeconds": 3}, "", 20),
        ({"terminationGracePeriodSeconds": 20, **TOLD}, {"terminationGracePeriodSeconds": 3}, "LivenessProbe", 10),
        ({}, {}, "", LEAST_GRACE),
    ],
)
def test_a_container_of_a_pod_that_goes_on(of_pod: dict[str, Any], probe: Any, reason: Any, grace: float) -> None:
    spec = container(livenessProbe=probe)
    assert grace_of(pod(spec, **of_pod), spec, reason) == grace


def test_sidecars_wait_for_the_others_and_for_those_behind_them() -> None:
    made = pod(container("a"), container("b"), initContainers=[sidecar("one"), container("init"), sidecar("two")])
    assert prerequisites(made) == {"two": ["a", "b"], "one": ["a", "b", "two"]}
