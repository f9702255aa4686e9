"""Servers as managed child processes, with real processes, real signals and real kill -9."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from _actors import Hk, watched

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the tests watch processes by pidfd (Linux)")

Start = Callable[..., Hk]


@pytest.fixture
def hk(start_hk: Start) -> Start:
    return start_hk


def processes(hk: Start, *args: str, **environment: str) -> Hk:
    return hk("run", "--mode=process", *args, **environment)


def test_children_start_in_order_and_stop_in_reverse(hk: Start) -> None:
    run = processes(hk, "a", "ready", "+", "b", "ready", "+", "program")
    run.until(r"^program +\| program \d+$")
    assert run.stop() == 0
    events = re.findall(r'"(starting|ready|stopped)" server="(\w+)"', run.output)
    assert events == [
        ("starting", "a"),
        ("ready", "a"),
        ("starting", "b"),
        ("ready", "b"),
        ("starting", "program"),
        ("ready", "program"),
        ("stopped", "program"),
        ("stopped", "b"),
        ("stopped", "a"),
    ]


def test_the_next_server_waits_until_the_one_before_is_ready(hk: Start) -> None:
    run = processes(hk, "a", "print=not ready", "+", "b", "ready")
    run.until(r"a \| not ready")
    assert run.stop() == 0
    assert "b |" not in run.output


def test_each_line_of_output_names_its_server(hk: Start) -> None:
    run = processes(hk, "a", "print=one", "print=two", "write=torn ", "write=line\n", "ready", "+", "program", "x")
    run.until(r"grandchild")
    run.stop()
    for line in ("a       | one", "a       | two", "a       | torn line"):
        assert line in run.lines()
    assert re.search(r"^program \| program \d+ x$", run.output, re.MULTILINE)


def test_a_line_without_end_is_cut_and_not_kept(hk: Start) -> None:
    run = processes(hk, "a", f"flood={3 * 65536 + 1}", "ready")
    run.until("said it is ready")
    run.stop()
    assert [len(line) for line in run.lines() if line.startswith("a | x")] == [65540, 65540, 65540, 5]


def test_json_logs_stay_json_whoever_writes(hk: Start) -> None:
    run = hk("--logging-format=json", "run", "--mode=process", "a", "log=hello", "print=plain", "ready")
    run.until("said it is ready")
    run.stop()
    entries = [json.loads(line) for line in run.lines()]
    assert [entry["msg"] for entry in entries if entry.get("server") == "a" and entry["msg"] in ("hello", "plain")] == [
        "hello",
        "plain",
    ]
    assert next(entry for entry in entries if entry["msg"] == "hello")["key"] == "a value"


def test_colours_tell_servers_apart(hk: Start) -> None:
    run = hk("--logging-format=human", "--log-color=always", "run", "--mode=process", "a", "ready", "+", "b", "ready")
    run.until("b.* said it is ready")
    run.stop()
    colors = {re.search(rf"\x1b\[(\d+)m{name}\x1b\[0m \| {name} said", run.output).group(1) for name in "ab"}  # type: ignore[union-attr]
    assert len(colors) == 2
    assert re.search(r"\x1b\[\d+ma\x1b\[0m \| \x1b\[2m[\d:.]+\x1b\[0m \x1b\[2mINFO ", run.output)


def test_a_child_that_crashes_is_restarted_alone(hk: Start, tmp_path: Path) -> None:
    run = processes(hk, "a", "pid", "ready", "+", "b", f"crash-once={tmp_path / 'crashed'}", "ready")
    run.until(r"server 'b': OSError: only once; starting it again in 1 s")
    run.until(r"b \| b said it is ready")
    assert run.stop() == 0
    assert run.output.count("a has pid") == 1


def test_the_exit_status_tells_which_server_failed_and_why(hk: Start, tmp_path: Path) -> None:
    status = tmp_path / "status.json"
    how = ("--restart=never", f"--status-file={status}")
    run = processes(hk, *how, "a", "ready", "+", "b", "ready", "crash=disk is full")
    assert run.wait() == 24
    assert "server 'b': OSError: disk is full" in run.lines()[-1]
    assert json.loads(status.read_text()) == {
        "servers": [
            {"name": "a", "state": "stopped", "restarts": 0, "error": None, "reason": None},
            {
                "name": "b",
                "state": "failed",
                "restarts": 0,
                "error": "server 'b': OSError: disk is full",
                "reason": "ServerCrashed",
            },
        ],
        "exit_status": 24,
    }


@pytest.mark.parametrize(
    ("step", "status", "message"),
    [
        ("return", 15, "server 'a': it returned"),
        ("die=SIGKILL", 19, "server 'a': its process was ended by SIGKILL"),
        ("exit=9", 14, "server 'a': its process ended with exit status 9"),
        ("exit=0", 15, "server 'a': it returned"),
        ("exit=2", 14, "server 'a': its process ended with exit status 2"),
    ],
)
def test_the_reasons_are_told_apart(hk: Start, step: str, status: int, message: str) -> None:
    run = processes(hk, "--restart=never", "a", "ready", step, "+", "b", "ready")
    assert run.wait() == status
    assert message in run.lines()[-1]


def test_a_child_that_is_late_is_named(hk: Start) -> None:
    run = processes(hk, "--restart=never", "a", "ready", "+", "late")
    assert run.wait() == 26
    assert "server 'late': it was not ready within 0.05 s" in run.lines()[-1]


def test_a_child_that_ignores_the_stop_says_so_and_ends(hk: Start) -> None:
    run = processes(hk, "a", "ready", "+", "stubborn", "ready", "ignore")
    run.until("stubborn said it is ready")
    assert run.stop() == 27
    assert "stubborn ignores it" in run.output


def test_a_program_that_ignores_the_stop_is_killed_with_what_it_started(hk: Start) -> None:
    run = processes(hk, "a", "ready", "+", "impatient", "--stubborn", "--daemon")
    pids = run.number(r"\| program (\d+)"), run.number(r"grandchild (\d+)")
    with watched(*pids) as programs:
        assert run.stop() == 27
        assert all(program.ends() for program in programs)
    assert "program got SIGTERM" in run.output


@pytest.mark.parametrize("mode", ["process", "in-process"])
def test_other_signals_are_handed_on(hk: Start, mode: str) -> None:
    run = hk("run", f"--mode={mode}", "a", "ready", "+", "program")
    run.until("grandchild")
    run.send(signal.SIGUSR1)
    run.until(r"program \| program got SIGUSR1")
    run.send(signal.SIGHUP)
    run.until(r"program \| program got SIGHUP")
    assert run.stop() == 0


def test_kill_9_of_hk_leaves_no_child_and_no_grandchild(hk: Start) -> None:
    run = processes(hk, "a", "pid", "ready", "spawn=program,--daemon", "+", "b", "pid", "ready", "+", "program")
    run.until("a spawned program")
    pids = [run.number(r"a has pid (\d+)"), run.number(r"b has pid (\d+)")]
    pids += [run.number(r"program \| program (\d+) --daemon"), run.number(r"a .*grandchild (\d+)")]
    pids += [run.number(r"^program \| program (\d+)$"), run.number(r"^program \| grandchild (\d+)")]
    with watched(*pids) as children:
        run.send(signal.SIGKILL)
        assert [child.ends() for child in children] == [True] * 6


def test_kill_9_of_hk_ends_a_child_that_is_too_busy_to_notice(hk: Start) -> None:
    run = processes(hk, "a", "pid", "spin")
    run.until("a spins")
    with watched(run.number(r"a has pid (\d+)")) as (child,):
        run.send(signal.SIGKILL)
        assert child.ends()


def test_kill_9_of_hk_ends_a_stubborn_program(hk: Start) -> None:
    run = processes(hk, "impatient", "--stubborn", "--daemon")
    pids = run.number(r"\| program (\d+)"), run.number(r"grandchild (\d+)")
    with watched(*pids) as programs:
        run.send(signal.SIGKILL)
        assert all(program.ends() for program in programs)


def test_kill_9_of_a_guard_takes_its_program_along(hk: Start) -> None:
    run = processes(hk, "--restart=never", "a", "ready", "+", "program")
    pid, grandchild = run.number(r"\| program (\d+)"), run.number(r"grandchild (\d+)")
    guard = int(re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE).group(1))  # type: ignore[union-attr]
    with watched(pid) as (program,):
        os.kill(guard, signal.SIGKILL)
        assert program.ends()
    os.kill(grandchild, signal.SIGKILL)  # nobody is left who would end it
    assert run.wait() == 29


def test_kill_9_of_one_process_mode_child_ends_what_it_had_spawned(hk: Start) -> None:
    run = processes(hk, "a", "pid", "ready", "spawn=program,--daemon")
    run.until("a spawned program")
    child = run.number(r"a has pid (\d+)")
    with watched(run.number(r"program \| program (\d+)"), run.number(r"grandchild (\d+)")) as programs:
        os.kill(child, signal.SIGKILL)
        assert all(program.ends() for program in programs)
    run.until("starting it again")
    run.stop()


def test_a_second_signal_insists_and_leaves_nobody(hk: Start) -> None:
    run = processes(hk, "a", "pid", "ready", "ignore", "+", "impatient", "--stubborn")
    pids = run.number(r"a has pid (\d+)"), run.number(r"\| program (\d+)")
    with watched(*pids) as children:
        run.send(signal.SIGINT)
        run.until("program got SIGTERM|a ignores it")
        run.send(signal.SIGINT)
        assert run.wait() == 130
        assert all(child.ends() for child in children)


def test_a_spawned_server_is_a_child_process_of_the_child(hk: Start) -> None:
    run = processes(hk, "a", "pid", "spawn=b,pid,ready", "ready")
    run.until("a said it is ready")
    assert run.number(r"a has pid (\d+)") != run.number(r"a \| b \| b has pid (\d+)")
    assert run.stop() == 0
    assert run.output.index("a stops") < run.output.index("b stops")


def test_a_run_of_jobs_ends_well_when_they_are_done(hk: Start) -> None:
    assert processes(hk, "job", "print=done", "return", "+", "tool", "0").wait() == 0


def test_a_program_that_fails_is_named_with_its_status(hk: Start) -> None:
    run = processes(hk, "--restart=never", "a", "ready", "+", "tool", "3")
    assert run.wait() == 24
    assert "server 'tool': its process ended with exit status 3" in run.lines()[-1]


def test_a_program_that_is_not_installed_is_a_plugin_error(hk: Start) -> None:
    run = processes(hk, "a", "ready", "+", "missing")
    assert run.wait() == 23
    assert "no-such-program-anywhere" in run.lines()[-1]


def test_a_server_that_runs_twice_is_told_apart(hk: Start) -> None:
    run = processes(hk, "a", "ready", "+", "a", "ready")
    run.until(r"^a-2 \| a said it is ready")
    assert run.stop() == 0


def test_a_child_whose_plugin_is_broken_is_not_tried_again(hk: Start, actors: Path, tmp_path: Path) -> None:
    (tmp_path / "hk_actors_servers.py").write_text("raise ImportError('no libnftables')")
    run = processes(hk, "a", "+", "b", PYTHONPATH=f"{tmp_path}:{actors}")
    assert run.wait() == 13
    assert "no libnftables" in run.lines()[-1]
