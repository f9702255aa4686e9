"""The README's two commands: alike but for what they ask for, used by CI as they stand, and the first one works."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from _wheels import ROOT, Running, copy_checkout

README = (ROOT / "README.md").read_text()
COMMANDS = {
    match[1]: match[0] for match in re.finditer(r"^python3 -m pip .* && .* noxfile\.py -s (\w+)$", README, re.MULTILINE)
}


def test_there_are_two_commands_of_one_line_that_differ_in_the_session_only() -> None:
    assert list(COMMANDS) == ["serve", "tests"]
    assert COMMANDS["serve"].removesuffix("serve") == COMMANDS["tests"].removesuffix("tests")


def test_ci_runs_the_line_of_the_readme(tmp_path: Path) -> None:
    """With a README whose test command only leaves a trace, that is what it runs."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text((ROOT / ".ci" / "run").read_text())
    trace = "printf '%s\\n' '==== 1 passed in 0.1s ====' # -s tests"
    (tmp_path / "README.md").write_text(f"python3 --version && {trace}\n")
    answer = subprocess.run(["bash", ".ci/run"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.stdout.rstrip().endswith("The tests passed:\n==== 1 passed in 0.1s ====")
    assert answer.returncode != 0, "the other checks could not run there"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    copy_checkout(tmp_path / "clone")
    return tmp_path / "clone"


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a POSIX shell")
def test_the_first_command_serves_and_says_what_to_try(clone: Path, kubectl: Path, tmp_path: Path) -> None:
    # This Python is the machine's python3, and uv's cache is what keeps the test quick; all else is fresh.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").write_text(f'#!/bin/sh\nexec "{_outer_python()}" "$@"\n')
    (programs / "python3").chmod(0o755)
    (programs / "kubectl").symlink_to(kubectl)
    home = tmp_path / "home"
    home.mkdir()
    variables = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "UV_CACHE"))}
    variables |= {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(home)}
    variables.setdefault("UV_CACHE_DIR", str(_cache()))
    process = subprocess.Popen(
        ["bash", "-c", COMMANDS["serve"]],
        cwd=clone,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    running = Running(process)
    try:
        said = running.wait_for("kubectl --kubeconfig", seconds=300)
        assert ".hk/admin.kubeconfig" in said
        tries = re.search(r"^```bash\n(kubectl .*?)```", README, re.MULTILINE | re.DOTALL)
        assert tries is not None
        ready = (
            "until kubectl --kubeconfig .hk/admin.kubeconfig wait node/hk-default --for=condition=Ready;"
            " do sleep 0.2; done >/dev/null 2>&1\n"
        )
        answer = subprocess.run(
            ["bash", "-e", "-c", ready + tries[1]],
            cwd=clone,
            env=variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        assert re.search(r"^hk-default +Ready", answer.stdout, re.MULTILINE)
        assert 'deployment "web" successfully rolled out' in answer.stdout
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) in (0, 130)  # 130 where the shell reports the Ctrl-C that it got as well
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        running.reader.join()
        assert process.stdout is not None
        process.stdout.close()


def _outer_python() -> Path:
    """The Python that this environment was made from: one with pip, as a machine's is."""
    return Path(sys.base_prefix) / "bin" / "python3"


def _cache() -> Path:
    import uv

    answer = subprocess.run([uv.find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True)
    return Path(answer.stdout.strip())
