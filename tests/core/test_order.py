"""In which order servers start."""

from __future__ import annotations

import pytest

from hyperkube_core._errors import UsageError
from hyperkube_core._order import labels, start_order
from hyperkube_core._server import Coroutine, Invocation, Server


def servers(**after: str) -> list[Invocation]:
    return [
        Invocation(Server(name=name, run=Coroutine("m:f"), after=tuple(others.split())))
        for name, others in after.items()
    ]


def test_servers_start_as_they_were_given() -> None:
    assert start_order(servers(b="", a="", c="")) == [0, 1, 2]


def test_a_server_starts_behind_those_it_names_and_others_keep_their_order() -> None:
    assert start_order(servers(kubelet="apiserver", dns="apiserver kubelet", other="", apiserver="")) == [3, 0, 1, 2]


def test_a_server_is_waited_for_under_its_other_name() -> None:
    store = Invocation(Server(name="etcd", run=Coroutine("m:f"), aliases=("store",)))
    api = Invocation(Server(name="api", run=Coroutine("m:f"), after=("store",)))
    assert start_order([api, store]) == [1, 0]


def test_a_server_that_does_not_run_holds_nobody_up() -> None:
    assert start_order(servers(dns="apiserver")) == [0]


def test_servers_that_wait_for_each_other_are_named() -> None:
    with pytest.raises(UsageError, match="a after b after c after a") as caught:
        start_order(servers(z="", a="b", b="c", c="a"))
    assert caught.value.exit_code == 2


def test_a_server_that_waits_for_itself_is_named() -> None:
    with pytest.raises(UsageError, match="a after a"):
        start_order(servers(a="a"))


def test_a_server_that_runs_twice_has_two_names() -> None:
    assert labels(servers(web="") * 2 + servers(dns="")) == ["web", "web-2", "dns"]
