"""`hk up`, `down`, `status` and `logs`: a cluster of scripted servers comes, fares and goes."""

from __future__ import annotations

import os
import re
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from _actors import Hk, watched
from _toys import Toys, events, start_toys, told, toy_site, toys

from hyperkube_core.testing import Site

__all__ = ["start_toys", "toy_site", "toys"]


def test_servers_start_as_soon_as_those_they_wait_for_are_ready(toys: Toys) -> None:
    happened = told(toys.up())
    assert happened == [
        "missing",
        *("a starting", "a ready", "b starting", "b ready", "c starting", "c ready"),
        "waiting",
        "ready",
    ]
    assert toys.notes() == [f"{what} {server}" for server in "abc" for what in ("arguments", "started")]


def test_what_is_not_installed_is_told_with_what_to_do(toys: Toys) -> None:
    (missing,) = [event for event in toys.up() if event["event"] == "missing"]
    assert (missing["server"], missing["advice"]) == ("absent", "pip install hk-absent")
    assert toys.status()["missing"] == [{"server": "absent", "advice": "pip install hk-absent"}]
    assert re.search(r"^absent +not installed +pip install hk-absent$", toys.hk("status").stdout, re.MULTILINE)


@pytest.mark.parametrize("mode", ["process", "in-process"])
def test_a_cluster_is_left_running_and_nothing_of_it_stays(toys: Toys, mode: str) -> None:
    toys.up(f"--mode={mode}")
    status = toys.status()
    assert (status["state"], status["mode"]) == ("ready", mode)
    assert [(server["name"], server["state"]) for server in status["servers"]] == [(name, "ready") for name in "abc"]
    pids = {status["pid"], *toys.pids().values()}
    assert len(pids) == (4 if mode == "process" else 1)
    with watched(*pids) as processes:
        down = toys.hk("down")
        assert (down.returncode, down.stdout) == (0, "cluster 'default' is stopped\n")
        assert all(process.ends() for process in processes)
    assert toys.notes()[-1] == "cleaned up a,b,c"
    assert toys.status()["state"] == "stopped"
    assert toys.hk("status").returncode == 1
    assert "Traceback" not in (toys.folder / "logs" / "hk.log").read_text()


def test_the_status_tells_where_things_are_reached(toys: Toys) -> None:
    toys.up()
    status = toys.status()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", status["servers"][0]["address"])
    assert status["servers"][1]["address"] is None
    assert status["sections"] == {"toys": [{"toy": "bear", "soft": True, "weight": 3}]}
    text = toys.hk("status").stdout
    assert re.search(r"^TOY +SOFT +WEIGHT\nbear +yes +3\n\nplay with it\n", text, re.MULTILINE)


def test_ports_stay_the_same(toys: Toys) -> None:
    toys.up()
    before = toys.status()["servers"][0]["address"]
    toys.hk("down")
    toys.up()
    assert toys.status()["servers"][0]["address"] == before


def test_a_second_one_is_told_of_the_first(toys: Toys) -> None:
    toys.up()
    pid = toys.status()["pid"]
    for flags in ((), ("--detach",)):
        again = toys.hk("up", *flags)
        assert again.returncode == 1
        assert f"cluster 'default' runs already (process {pid}, in {toys.folder})" in again.stderr
    assert toys.status()["pid"] == pid


def test_a_server_that_fails_at_its_start_ends_the_cluster_and_is_named(toys: Toys) -> None:
    done = toys.hk("up", "--detach", script={"b": ["print=the last words", "crash=no such luck"]})
    assert done.returncode == 4
    assert "Error: server 'b': OSError: no such luck\nthe last lines of " in done.stderr
    assert "the last words" in done.stderr
    assert told(events(done.stdout))[-4:] == ["failed", "stopping", "a stopped", "stopped"]
    assert toys.status()["state"] == "stopped"
    assert toys.notes()[-1] == "cleaned up a,b,c"


def test_a_cluster_that_is_not_ready_in_time_is_taken_down(toys: Toys) -> None:
    done = toys.hk("up", "--detach", "--timeout=0.5", script={"never": True})
    assert done.returncode == 4
    assert "the cluster was not ready within 0.5 s: it waits for the moon" in done.stderr
    assert toys.status()["state"] == "stopped"


def test_a_full_disk_is_no_flaw_of_who_prepares_it(toys: Toys) -> None:
    done = toys.hk("up", "--detach", script={"full": True})
    assert done.returncode == 1
    assert f"Error: cannot write to {toys.folder}: No space left on device" in done.stderr


def test_a_flaw_of_who_prepares_it_is_told_as_such(toys: Toys) -> None:
    done = toys.hk("up", "--detach", script={"bug": True})
    assert done.returncode == 3
    assert "plugin 'toys': whether the cluster is ready: KeyError: 'bug'" in done.stderr
    assert "traceback" in (toys.folder / "logs" / "hk.log").read_text()


def test_a_server_that_is_killed_is_started_again_with_the_same_arguments(toys: Toys) -> None:
    toys.up(a=["log=these words", "ready"])
    pid = toys.pids()["a"]
    os.kill(pid, signal.SIGKILL)
    status = toys.until(lambda status: status["servers"][0]["restarts"] == 1 and status["servers"][0]["pid"])
    assert status["servers"][0]["pid"] != pid
    assert (toys.folder / "logs" / "a.log").read_text().count("these words") == 2
    assert toys.notes().count("arguments a") == 1


def test_servers_end_when_hk_up_is_killed_and_the_next_command_tidies_up(toys: Toys) -> None:
    toys.up()
    with watched(*toys.pids().values()) as servers:
        os.kill(toys.status()["pid"], signal.SIGKILL)
        assert all(server.ends() for server in servers)
    assert toys.status()["state"] == "lost"
    assert "it has ended without being stopped" in toys.hk("status").stdout
    assert "cleaned up a,b,c" not in toys.notes()
    assert toys.hk("down").returncode == 0
    assert toys.notes()[-1] == "cleaned up a,b,c"
    assert toys.status()["state"] == "stopped"


def test_a_new_one_waits_for_the_servers_of_one_that_was_killed(toys: Toys) -> None:
    toys.up(c=["ready"])
    before = toys.pids()
    os.kill(toys.status()["pid"], signal.SIGKILL)
    toys.up()
    assert not before.keys() - toys.pids().keys()
    assert not set(before.values()) & set(toys.pids().values())


def test_what_ignores_the_request_to_stop_is_killed(toys: Toys) -> None:
    toys.up("--with=program")
    with watched(toys.status()["pid"]) as (runner,):
        os.kill(runner.pid, signal.SIGSTOP)
        assert toys.hk("down", "--timeout=0.2").returncode == 0
        assert runner.ends()


def test_ctrl_c_stops_it_in_reverse(toys: Toys, start_toys: Callable[..., Hk]) -> None:
    up = start_toys()
    up.until('"event": "ready"')
    up.send(signal.SIGINT)
    assert up.wait() == 0
    assert told(events(up.output))[-5:] == ["stopping", "c stopped", "b stopped", "a stopped", "stopped"]
    assert toys.notes()[-1] == "cleaned up a,b,c"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_while_it_comes_up_leaves_nothing(
    signum: signal.Signals, toys: Toys, start_toys: Callable[..., Hk]
) -> None:
    up = start_toys("--detach", never=True)
    up.until('"event": "waiting"')
    with watched(toys.status()["pid"], *toys.pids().values()) as processes:
        up.send(signum)
        assert up.wait() == 128 + signum
        assert all(process.ends() for process in processes)
    assert "interrupted: the cluster is stopped again" in up.output


def test_what_runs_is_chosen(toys: Toys) -> None:
    toys.up("--without=c", "--with=program", "--with=respectful", respectful=["respect"])
    assert set(toys.pids()) == {"a", "b", "program", "respectful"}


@pytest.mark.parametrize(
    ("flags", "status", "error"),
    [
        (("--without=q",), 2, "--without q: no server of this cluster is called so"),
        (("--with=absent",), 2, "a cluster of kind 'toys' needs the server 'absent': pip install hk-absent"),
        (("--set=b",), 2, "--set b: write SERVER.flag=value"),
        (("--set=q.v=2",), 2, "--set q.v=2: no server of this cluster is called 'q'; there are a, b, c"),
        (("--kind=toy",), 2, "no cluster of kind 'toy': there are toys; did you mean 'toys'?"),
        (("--without=a",), 2, "--without a: there is no cluster of kind 'toys' without it"),
        (("--timeout=0",), 2, "--timeout 0: give the seconds that it may take to be ready"),
        (("--name=Upper",), 2, "--name Upper: letters a to z, digits and '-' between them make a name"),
    ],
)
def test_nothing_starts_where_something_is_wrong(toys: Toys, flags: tuple[str, ...], status: int, error: str) -> None:
    done = toys.hk("up", *flags)
    assert done.returncode == status
    assert error in done.stderr
    assert not toys.folder.exists()


def test_a_data_directory_says_itself_which_cluster_is_in_it(toys: Toys) -> None:
    toys.up("--name=second")
    assert toys.status()["name"] == "second"
    other = toys.hk("status", "--name=third")
    assert (other.returncode, other.stderr.splitlines()[-1]) == (
        2,
        f"Error: --name third: the cluster in {toys.folder} is called 'second'",
    )
    assert toys.hk("down").stdout == "cluster 'second' is stopped\n"
    assert events(toys.hk("up", "--detach").stdout)[-1]["name"] == "second"
    assert toys.hk("down", "--delete").stdout == "cluster 'second' is deleted\n"


def test_a_flag_is_given_last(toys: Toys) -> None:
    toys.up("--with=program", "--set=program.first=1", "--set=program.second=a b", program=["x"])
    assert re.search(r"^program \d+ pid x --first=1 --second=a b$", toys.hk("logs", "program").stdout, re.MULTILINE)


def test_a_flag_that_a_server_does_not_take_is_told_with_the_server(toys: Toys) -> None:
    done = toys.hk("up", "--with=strict", "--set=strict.depth=1", script={"strict": []})
    assert done.returncode == 2
    assert "Error: server 'strict': " in done.stderr


def test_a_directory_of_something_else_is_left_alone(toys: Toys) -> None:
    toys.folder.mkdir()
    (toys.folder / "thesis.tex").touch()
    done = toys.hk("up")
    assert done.returncode == 2
    assert "it holds other files and is no cluster's" in done.stderr
    assert [path.name for path in toys.folder.iterdir()] == ["thesis.tex"]
    assert toys.hk("down", "--delete").stdout == f"cluster 'default': there is none in {toys.folder}\n"
    assert toys.folder.exists()


def test_it_is_kept_where_state_is_kept(toys: Toys, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    up = toys.hk("up", "--detach", "--name=mine", data_dir=False, XDG_STATE_HOME=state)
    assert up.returncode == 0, up.stderr
    folder = tmp_path / "state" / "hk" / "mine"
    try:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != "notes"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    finally:
        down = toys.hk("down", "--name=mine", "--delete", data_dir=False, XDG_STATE_HOME=state)
    assert down.stdout == "cluster 'mine' is deleted\n"
    assert not folder.exists()


def test_logs_are_kept_by_server(toys: Toys) -> None:
    toys.up(a=["print=of a", "log=said a", "ready"], b=["print=of b", "ready"])
    assert "of a" in toys.hk("logs", "a").stdout
    assert "of b" not in toys.hk("logs", "a").stdout
    both = toys.hk("logs").stdout
    assert re.search(r"^a  \| of a$", both, re.MULTILINE)
    assert re.search(r"^b  \| of b$", both, re.MULTILINE)
    assert len(toys.hk("logs", "a", "--tail=1").stdout.splitlines()) == 1
    wrong = toys.hk("logs", "q")
    assert wrong.returncode == 2
    assert "has no log of 'q': there are a, b, c, hk" in wrong.stderr


def test_logs_in_one_process_are_told_apart_as_well(toys: Toys) -> None:
    toys.up("--in-process", a=["log=said a", "ready"], b=["log=said b", "ready"])
    assert '"said a" server="a"' in toys.hk("logs", "a").stdout
    assert "said b" not in toys.hk("logs", "a").stdout


def test_a_broken_contribution_spoils_nothing(toys: Toys, tmp_path: Path) -> None:
    site = Site(tmp_path / "broken")
    site.install("bad", "import nowhere", distribution="hk-bad", group="hyperkube.clusters")
    path = f"{toys.site}{os.pathsep}{site.path}"
    limit = "hk-actors,hk-toys,hk-bad"
    up = toys.hk("up", "--detach", PYTHONPATH=path, HYPERKUBE_LOAD_PLUGINS=limit)
    assert up.returncode == 0, up.stderr
    (warning,) = [event for event in events(up.stdout) if event["event"] == "warning"]
    assert "cannot import" in warning["message"]


def test_contributions_of_one_kind_are_one_cluster(toys: Toys, tmp_path: Path) -> None:
    site = Site(tmp_path / "more")
    source = """
from hyperkube_core import Contribution, Groundwork, Part, hookimpl

class More(Groundwork):
    async def arguments(self, server):
        return ["log=more for a"] if server == "a" else ["ready"]

@hookimpl
def hyperkube_clusters():
    return [Contribution(kind="toys", parts=(Part(server="uv", after=("b",)),), groundwork=More)]
"""
    site.install("more", source, distribution="hk-more", group="hyperkube.clusters")
    path = f"{toys.site}{os.pathsep}{site.path}"
    up = toys.hk("up", "--detach", PYTHONPATH=path, HYPERKUBE_LOAD_PLUGINS="hk-actors,hk-toys,hk-more")
    assert up.returncode == 0, up.stderr
    assert set(toys.pids()) == {"a", "b", "c", "uv"}
    assert "more for a" in (toys.folder / "logs" / "a.log").read_text()


def test_without_anybody_who_knows_what_a_cluster_is_it_says_so(site: Site) -> None:
    done = site.hk("up", environment={"HYPERKUBE_LOAD_PLUGINS": ""})
    assert done.returncode == 2
    assert "nothing that is installed says what a cluster is made of: 'pip install hyperkube-cluster' adds that" in (
        done.stderr
    )


def test_a_terminal_gets_a_table(toys: Toys) -> None:
    up = toys.hk("up", "--detach", "--output=table")
    assert up.returncode == 0, up.stderr
    assert re.search(r"a +ready +\d\.\d\d s +127\.0\.0\.1:\d+", up.stdout)
    assert re.search(r"absent +not installed +pip install hk-absent", up.stdout)
    assert re.search(r"cluster 'default' is ready after \d+\.\d\d s\nplay with it", up.stdout)
