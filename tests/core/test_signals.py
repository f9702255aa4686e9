"""One server alone: signals, the stop, and the end of the process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from _actors import Hk, watched

from hyperkube_core._signals import ASKING, FORWARDED, handled

Start = Callable[..., Hk]


@pytest.fixture
def hk(start_hk: Start) -> Start:
    return start_hk


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("server", ["a", "uv"])
def test_the_first_signal_asks(hk: Start, server: str, signum: int) -> None:
    run = hk(server, "ready")
    run.until("said it is ready")
    run.send(signum)
    assert run.wait() == 0
    assert f"{server} stops" in run.output


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("server", ["a", "uv"])
def test_the_second_signal_insists(hk: Start, server: str, signum: int, status: int) -> None:
    run = hk(server, "ready", "ignore")
    run.until("said it is ready")
    run.send(signal.SIGTERM)
    run.until("ignores it")
    run.send(signum)
    assert run.wait() == status


def test_the_second_signal_ends_a_server_that_keeps_the_loop_busy(hk: Start) -> None:
    run = hk("a", "ready", "spin")
    run.until("a spins")
    run.send(signal.SIGTERM)
    run.send(signal.SIGINT)
    assert run.wait() in (130, 143), "whichever came last"


def test_a_coroutine_that_ignores_the_stop_ends_with_the_process(hk: Start) -> None:
    run = hk("stubborn", "ready", "ignore")
    run.until("said it is ready")
    assert run.stop() == 130
    assert "it did not stop within 0.05 s and was abandoned" in run.output
    assert "interrupted" in run.lines()[-1]


def test_a_thread_that_ignores_the_stop_ends_with_the_process(hk: Start) -> None:
    run = hk("blocking")
    run.until("blocking is ready")
    assert run.stop() == 130
    assert "interrupted" in run.lines()[-1]


def test_a_thread_that_respects_the_stop_ends_well(hk: Start) -> None:
    run = hk("respectful", "respect")
    run.until("blocking is ready")
    assert run.stop() == 0
    assert "blocking stops" in run.output


def test_a_thread_that_respects_the_stop_with_an_error_keeps_it(hk: Start) -> None:
    run = hk("respectful", "respect", "fail")
    run.until("blocking is ready")
    assert run.stop() == 4
    assert "server returning error" in run.lines()[-1]


def test_the_first_loop_that_is_declared_runs_them_all(hk: Start) -> None:
    run = hk("run", "a", "loop", "ready", "+", "uv", "loop", "ready")
    run.until("uv said it is ready")
    assert run.stop() == 0
    assert "a runs on uvloop" in run.output
    assert "uv runs on uvloop" in run.output
    alone = hk("a", "loop", "ready")
    alone.until("a runs on asyncio")
    assert alone.stop() == 0


def test_a_crash_shows_where_it_happened(hk: Start) -> None:
    run = hk("a", "ready", "crash=disk is full")
    assert run.wait() == 4
    assert "hk_actors_servers.py" in run.output
    assert "server 'a': OSError: disk is full" in run.lines()[-1]


def test_a_tool_that_is_a_program_ends_as_it_pleases(hk: Start) -> None:
    assert hk("tool", "7").wait() == 7


@pytest.mark.parametrize("how", [["ignored"], ["run", "ignored", "+", "job", "return"]])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc (Linux)")
def test_a_program_does_not_inherit_that_python_ignores_broken_pipes(hk: Start, how: list[str]) -> None:
    run = hk(*how)
    assert run.wait() == 0
    ignored = int(run.until(r"SigIgn:\s+([0-9a-f]+)").group(1), 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches a process by pidfd (Linux)")
def test_a_program_alone_writes_where_hk_writes_and_ends_with_it(hk: Start) -> None:
    run = hk("program", "--daemon")
    run.until(r"grandchild")
    assert "| " not in run.output
    with watched(run.number(r"^program (\d+)"), run.number(r"^grandchild (\d+)")) as programs:
        assert run.stop() == 0
        assert all(program.ends() for program in programs)


def test_a_program_that_ends_by_itself_has_failed(hk: Start) -> None:
    run = hk("program", "--exit", "5")
    assert run.wait() == 4
    assert "server 'program': its process ended with exit status 5" in run.lines()[-1]


def test_a_program_gets_the_environment_of_its_description(hk: Start) -> None:
    run = hk("program")
    pid = run.number(r"^program (\d+)")
    assert b"GIVEN=yes" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert not [name for name in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if name.startswith(b"HK_")]
    run.stop()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches a process by pidfd (Linux)")
def test_a_child_that_hangs_in_an_import_ends_with_its_parent(hk: Start, actors: Path, tmp_path: Path) -> None:
    hang = "import os, threading\nprint('hangs', os.getpid(), flush=True)\nthreading.Event().wait()\n"
    (tmp_path / "hk_actors_servers.py").write_text(hang)
    run = hk("run", "--mode=process", "a", PYTHONPATH=f"{tmp_path}:{actors}")
    with watched(run.number(r"hangs (\d+)")) as (child,):
        run.send(signal.SIGKILL)
        assert child.ends()


def test_handlers_are_removed_afterwards() -> None:
    numbers = (*ASKING, *FORWARDED)
    before = [signal.getsignal(number) for number in numbers]
    asked: list[int] = []
    forwarded: list[int] = []
    with handled(ask=asked.append, forward=forwarded.append):
        assert [signal.getsignal(number) for number in numbers] != before
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
    assert (asked, forwarded) == ([signal.SIGTERM], [signal.SIGHUP])
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        forwarded: list[int] = []
        with handled(ask=lambda signum: None, forward=forwarded.append):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR1)
        assert forwarded == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
