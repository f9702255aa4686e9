"""Revisions of deployments; facts of Kubernetes' pkg/controller/deployment/util tests."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_controller_manager.deploymentrevisions import (
    annotations_for_new,
    annotations_of_rollback,
    highest_revision,
    last_revision,
    outdated,
)

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"


def annotated(name: str = "web", /, **annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "annotations": annotations}}


def numbered(name: str, revision: str, replicas: int = 0, held: int = 0, **metadata: Any) -> dict[str, Any]:
    meta = {"name": name, "generation": 1, "annotations": {REVISION: revision}, **metadata}
    status = {"replicas": held, "observedGeneration": 1}
    return {"metadata": meta, "spec": {"replicas": replicas}, "status": status}


def test_a_new_replica_set_is_numbered_and_says_what_its_deployment_says() -> None:
    deployment = annotated(
        **{"why": "because", REVISION: "9", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    )
    assert annotations_for_new(deployment, {}, 3) == {"why": "because", REVISION: "3"}


def test_one_that_is_rolled_back_to_remembers_what_it_was() -> None:
    first = annotations_for_new(annotated(), {REVISION: "1"}, 3)
    assert first == {REVISION: "3", HISTORY: "1"}
    assert annotations_for_new(annotated(), first, 5) == {REVISION: "5", HISTORY: "1,3"}


def test_a_number_never_shrinks() -> None:
    assert annotations_for_new(annotated(), {REVISION: "7"}, 3) == {REVISION: "7"}


def test_history_forgets_its_beginning() -> None:
    long = ",".join(str(number) for number in range(1000, 1400))
    history = annotations_for_new(annotated(), {REVISION: "1400", HISTORY: long}, 1401)[HISTORY]
    assert len(history) <= 2000
    assert history.endswith(",1399,1400")


def test_a_rollback_brings_the_annotations_of_that_time_back() -> None:
    deployment = annotated(**{"change": "edit", "extra": "1", REVISION: "2"})
    target = annotated(**{"change": "create", REVISION: "1"})
    assert annotations_of_rollback(deployment, target) == {"change": "create", REVISION: "2"}


@pytest.mark.parametrize(
    ("revisions", "highest", "last"),
    [([], 0, 0), (["1"], 1, 0), (["1", "2", "3"], 3, 2), (["3", "oops", "1"], 3, 1), (["2", "2"], 2, 2)],
)
def test_the_highest_and_the_one_before(revisions: list[str], highest: int, last: int) -> None:
    sets = [numbered(f"web-{n}", revision) for n, revision in enumerate(revisions)]
    assert (highest_revision(sets), last_revision(sets)) == (highest, last)


@pytest.mark.parametrize(("limit", "gone"), [(0, ["a", "b", "d"]), (2, ["a", "b"]), (3, ["a"]), (5, []), (None, [])])
def test_history_beyond_the_limit_goes_oldest_first_unless_it_has_pods(limit: int | None, gone: list[str]) -> None:
    old = [numbered("d", "4"), numbered("c", "3", replicas=1), numbered("b", "2"), numbered("a", "1")]
    assert [one["metadata"]["name"] for one in outdated(old, limit)] == gone


def test_a_replica_set_whose_pods_are_not_counted_yet_stays() -> None:
    unseen = numbered("a", "1", generation=2)
    assert outdated([unseen, numbered("b", "2", held=1), numbered("c", "3", deletionTimestamp="x")], 0) == []
