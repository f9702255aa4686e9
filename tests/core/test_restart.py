"""When a server that ended is started again."""

from __future__ import annotations

import pytest

from hyperkube_core._errors import HyperkubeError, Interrupted, PluginError, ServerCrashed, ServerNotReady, UsageError
from hyperkube_core._restart import CrashLoop, Restart, starts_again


def test_the_delays_double_from_a_second_to_five_minutes() -> None:
    loop = CrashLoop()
    assert [loop.delay(0) for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_time_of_health_ends_the_crash_loop() -> None:
    loop = CrashLoop()
    assert [loop.delay(0), loop.delay(599), loop.delay(600), loop.delay(0)] == [1, 2, 1, 2]


def test_a_loop_that_crashes_for_years_keeps_its_longest_delay() -> None:
    loop = CrashLoop(failures=5000)
    assert loop.delay(0) == 300


@pytest.mark.parametrize(
    ("restart", "error", "again"),
    [
        ("never", ServerCrashed("a", "x"), False),
        ("on-failure", ServerCrashed("a", "x"), True),
        ("on-failure", ServerNotReady("a", "x"), True),
        ("on-failure", None, False),
        ("always", None, True),
        ("always", UsageError("x"), False),
        ("always", PluginError("a", "x"), False),
        ("always", Interrupted("interrupted"), False),
    ],
)
def test_only_failures_of_the_server_itself_are_worth_a_restart(
    restart: Restart, error: HyperkubeError | None, again: bool
) -> None:
    assert starts_again(restart, error) is again
