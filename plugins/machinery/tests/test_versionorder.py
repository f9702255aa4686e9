"""API versions stand in the order in which clients should prefer them."""

from __future__ import annotations

import random

from hyperkube_machinery.versionorder import version_rank

# The example of k8s.io/apimachinery/pkg/version.
ORDERED = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]


def test_versions_are_ordered_by_stage_then_by_number() -> None:
    shuffled = random.Random(1).sample(ORDERED, len(ORDERED))
    assert sorted(shuffled, key=version_rank) == ORDERED


def test_what_only_looks_like_a_version_comes_last() -> None:
    odd = ["v0", "v1gamma1", "v01", "V1", "v1beta", "v1beta0", "1"]
    assert sorted([*odd, "v1alpha1"], key=version_rank)[0] == "v1alpha1"
