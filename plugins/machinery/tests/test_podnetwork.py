"""The network of pods, where it is the machine's own."""

from __future__ import annotations

import sys

import pytest

from hyperkube_machinery.podnetwork import HostNetwork
from hyperkube_machinery.serving.loop import new_event_loop

HUNDRED_KILOBYTES = b"x" * 100_000


@pytest.mark.parametrize(
    ("program", "stdin", "stdout", "exit_code"),
    [
        ("print(len(sys.stdin.read()))", HUNDRED_KILOBYTES, b"100000\n", 0),
        ("sys.exit(3)", HUNDRED_KILOBYTES, b"", 3),
        ("print(len(sys.stdin.read()))", b"", b"0\n", 0),
    ],
)
def test_a_program_gets_its_input_whether_or_not_it_reads_it(
    program: str, stdin: bytes, stdout: bytes, exit_code: int
) -> None:
    loop = new_event_loop()  # servers' own, which minds what asyncio's does not
    try:
        command = (sys.executable, "-c", f"import sys; {program}")
        done = loop.run_until_complete(HostNetwork().run(command, stdin))
    finally:
        loop.close()
    assert (done.exit_code, done.stdout, done.stderr) == (exit_code, stdout, b"")
