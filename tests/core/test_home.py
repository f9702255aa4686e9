"""The data directory of a cluster: who holds it, its ports, and what is written down there."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from hyperkube_core import HyperkubeError, SystemClock, UsageError
from hyperkube_core._home import Home, beginning, cluster_folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "cluster")


def open_home(folder: Path) -> Home:
    made = Home(folder, "mine", clock=SystemClock())
    made.make()
    return made


def listening(port: int = 0) -> socket.socket:
    made = socket.create_server(("127.0.0.1", port))
    made.listen()
    return made


def test_one_holds_it_at_a_time(home: Home) -> None:
    other = open_home(home.folder)
    assert home.try_lock()
    assert not other.try_lock()
    home.release()
    assert other.try_lock()
    other.release()


def test_who_inherited_the_lock_holds_it(home: Home) -> None:
    assert home.try_lock()
    inherited = os.dup(home.lock)
    home.release()
    other = open_home(home.folder)
    assert not other.try_lock()
    os.close(inherited)
    assert other.try_lock()
    other.release()


def test_a_port_is_kept_and_no_other_use_gets_it(home: Home) -> None:
    home.try_lock()
    first = home.port("web")
    assert home.port("web") == first
    assert home.port("other", first) != first
    home.release()
    later = open_home(home.folder)
    assert later.port("web") == first


def test_the_preferred_port_is_taken_where_it_is_free(home: Home) -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        home.try_lock()
        assert home.port("web", port) != port
    with listening() as probe:
        free = probe.getsockname()[1]
    assert home.port("other", free) == free
    home.release()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names for sockets that end with their process")
def test_two_clusters_that_start_at_once_choose_different_ports(home: Home, tmp_path: Path) -> None:
    with listening() as probe:
        preferred = probe.getsockname()[1]
    other = open_home(tmp_path / "other")
    home.try_lock()
    other.try_lock()
    assert home.port("web", preferred) == preferred
    assert other.port("web", preferred) != preferred  # though nobody listens there yet
    home.release()
    later = open_home(tmp_path / "later")
    later.try_lock()
    assert later.port("web", preferred) == preferred
    other.release()
    later.release()


def test_a_port_that_the_cluster_listens_on_itself_stays(home: Home) -> None:
    home.try_lock()
    port = home.port("web")
    with listening(port):
        assert home.port("web") == port
    home.release()


def test_a_port_that_somebody_else_listens_on_by_now_is_given_up(home: Home) -> None:
    home.try_lock()
    port = home.port("web")
    home.release()
    later = open_home(home.folder)
    with listening(port):
        assert later.port("web") == port  # it may be the cluster's own server
        later.try_lock()
        assert later.port("web") != port
    later.release()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "is not the state of a cluster"),
        ('{"format": 2}', "was written by a newer hyperkube-core"),
    ],
)
def test_a_state_that_is_not_understood_is_an_error(home: Home, text: str, said: str) -> None:
    (home.folder / "state.json").write_text(text)
    with pytest.raises(HyperkubeError, match=said):
        _ = home.state


def test_a_process_is_told_from_a_later_one_of_its_number(home: Home) -> None:
    home.write(run={"pid": os.getpid(), "began": beginning(os.getpid())})
    assert home.runner() == os.getpid()
    home.write(run={"pid": os.getpid(), "began": "another boot:1"})
    assert home.runner() is None
    assert json.loads((home.folder / "state.json").read_text())["name"] == "mine"


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.local/state/hk/mine"),
        ({"HOME": "/home/ada", "XDG_STATE_HOME": "/state"}, "/state/hk/mine"),
        ({"HOME": "/home/ada", "XDG_STATE_HOME": "state"}, "/home/ada/.local/state/hk/mine"),
    ],
)
def test_it_is_where_state_is_kept(environment: dict[str, str], folder: str) -> None:
    assert cluster_folder("mine", None, environment) == Path(folder)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "a" * 41])
def test_what_could_be_no_folder_or_node_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="make a name"):
        cluster_folder(name, None, {"HOME": "/"})
