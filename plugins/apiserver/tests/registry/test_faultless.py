from __future__ import annotations

from typing import Any

from hyperkube_apiserver.registry.podspec.faultless import Faultless

Pod = dict[str, Any]


def _pod(name: str = "a", *, image: str = "i", volume: str = "emptyDir", note: str = "") -> Pod:
    metadata = {"name": name, "annotations": {"note": note}}
    return {"metadata": metadata, "spec": {"containers": [{"image": image}], "volumes": [{"name": "v", volume: {}}]}}


def _faultless(*faults: str) -> tuple[Faultless[str], list[Pod]]:
    asked: list[Pod] = []

    def look(pod: Pod) -> list[str]:
        asked.append(pod)
        return [fault for fault in faults if fault in str(pod)]

    return Faultless(look), asked


def test_the_second_pod_of_a_template_is_not_looked_at() -> None:
    check, asked = _faultless()
    assert check(_pod("a")) == []
    assert check(_pod("b")) == []
    assert len(asked) == 1


def test_what_differs_is_looked_at() -> None:
    check, asked = _faultless("bad")
    for pod in (_pod(), _pod(image="other"), _pod(volume="hostPath"), _pod(note="x")):
        assert check(pod) == []
    assert check(_pod(image="bad")) == ["bad"]
    assert len(asked) == 5


def test_a_fault_is_found_each_time() -> None:
    check, asked = _faultless("bad")
    assert [check(_pod(image="bad")) for _ in range(3)] == [["bad"]] * 3
    assert len(asked) == 3


def test_the_name_counts_where_volumes_are_made_by_it() -> None:
    check, asked = _faultless("bad-name")
    assert check(_pod("good", volume="ephemeral")) == []
    assert check(_pod("bad-name", volume="ephemeral")) == ["bad-name"]
    assert len(asked) == 2


def test_a_pod_that_changed_after_it_was_found_faultless_is_looked_at_again() -> None:
    check, _ = _faultless("bad")
    pod = _pod()
    assert check(pod) == []
    pod["spec"]["containers"][0]["image"] = "bad"
    assert check(pod) == ["bad"]


def test_what_is_remembered_is_bounded() -> None:
    check, asked = _faultless()
    for number in range(2000):
        check(_pod(image=str(number)))
    assert len(check._known) <= 512
    check(_pod(image="x" * 20_000))
    check(_pod(image="x" * 20_000))
    assert len(asked) == 2002
