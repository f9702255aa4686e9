"""What flags and config files say of a node's health."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hyperkube_core import SettingsError
from hyperkube_kubelet.keepingrules import hard_thresholds, keeping_of
from hyperkube_kubelet.options import DEFAULT_EVICTION, Options
from hyperkube_kubelet.thresholds import Amount

from .test_options import parse


def options(**changes: Any) -> Options:
    return Options(kubeconfig=Path("node.kubeconfig"), **changes)


def test_defaults_are_upstreams() -> None:
    rules = keeping_of(options())
    assert rules.eviction is not None
    assert rules.images is not None
    least = {one.signal: one.least for one in rules.eviction.thresholds if one.hard}
    assert least["memory.available"] == Amount(100 << 20)
    assert least["nodefs.available"] == Amount(share=0.1)
    assert set(least) - {"allocatableMemory.available"} == set(DEFAULT_EVICTION)
    assert (rules.eviction.transition_seconds, rules.eviction.local_storage) == (300.0, True)
    assert (rules.images.high_percent, rules.images.low_percent, rules.images.least_age) == (85, 80, 120.0)


def test_flags_say_it_as_upstreams_do() -> None:
    found = parse(
        "--eviction-hard=memory.available<1Gi,nodefs.available<5%",
        "--eviction-soft=memory.available<2Gi",
        "--eviction-soft-grace-period=memory.available=1m30s",
        "--eviction-minimum-reclaim=nodefs.available=2Gi",
        "--eviction-max-pod-grace-period=60",
        "--kernel-memcg-notification",
        "--enforce-node-allocatable=",
        "--cgroups-per-qos=false",
    )
    rules = keeping_of(found).eviction
    assert rules is not None
    assert [(one.signal, one.grace_seconds) for one in rules.thresholds] == [
        ("memory.available", 0.0),
        ("nodefs.available", 0.0),
        ("memory.available", 90.0),
    ]
    assert rules.thresholds[1].reclaim == Amount(2 << 30)
    assert (rules.most_grace_seconds, rules.wakes_early) == (60, True)


def test_what_is_given_takes_the_place_of_the_defaults_unless_they_are_merged() -> None:
    given = {"memory.available": "1Gi"}
    assert hard_thresholds(options(eviction_hard=given)) == given
    merged = hard_thresholds(options(eviction_hard=given, merge_default_eviction_settings=True))
    assert merged == {**DEFAULT_EVICTION, **given}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"eviction_soft": {"memory.available": "1Gi"}}, "grace period must be specified"),
        ({"image_gc_low_threshold": 85}, "must be less than --image-gc-high-threshold"),
        ({"image_maximum_gc_age": 60.0}, "must be less than imageMaximumGCAge"),
    ],
)
def test_what_does_not_fit_together_is_told(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        keeping_of(options(**changes))


@pytest.mark.parametrize("flag", ["--eviction-hard=memory.free<1Gi", "--eviction-soft=memory.available<-1"])
def test_a_flag_that_makes_no_sense_is_refused(flag: str) -> None:
    with pytest.raises(SettingsError):
        parse(flag)


def test_nothing_goes_for_the_sake_of_hollow_pods() -> None:
    rules = keeping_of(options(container_runtime="hollow"))
    assert (rules.eviction, rules.images, rules.disk_seconds) == (None, None, 0)
