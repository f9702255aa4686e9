"""The runner of the pages finds what is wrong with a page."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import _pages
import pytest

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def run(text: str, folder: Path) -> None:
    with _pages.shell(folder, ENVIRONMENT) as session:
        _pages.run(list(_pages.blocks(text)), session, folder)


def test_blocks_share_a_shell_and_a_folder(tmp_path: Path) -> None:
    page = "```bash\nname=hk; mkdir below; cd below\n```\ntext\n```console\n$ echo $name ${PWD##*/}\nhk below\n```\n"
    run(page, tmp_path)


def test_other_output_than_shown_fails_and_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"line 4: \$ echo one\nprinted:\none"):
        run("# A page\n\n```console\n$ echo one\ntwo\n```\n", tmp_path)


def test_a_failing_command_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended with status 1"):
        run("```console\n$ false\n```\n", tmp_path)


def test_a_failing_command_in_the_middle_of_a_script_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended with status 3"):
        run("```bash\n(exit 3)\ntrue\n```\n", tmp_path)


def test_a_command_may_fail_where_its_status_is_shown(tmp_path: Path) -> None:
    run("```console\n$ (exit 3)\n$ echo $?\n3\n```\n", tmp_path)


def test_dots_stand_for_anything_and_columns_may_shift(tmp_path: Path) -> None:
    run("```console\n$ printf 'NAME   AGE\\nweb    3s\\n'\nNAME AGE\nweb  ...s\n```\n", tmp_path)


@pytest.mark.parametrize(
    ("expected", "got", "matched"),
    [
        ("...\nlast", "last", True),
        ("...\nlast", "first\nsecond\nlast", True),
        ("...\nlast", "last\nbut one", False),
        ("one...two", "one\ntwo", False),
        ("one ...", "one", False),
        ("", "", True),
        ("", "text", False),
        ("...", "", True),
    ],
)
def test_dots_match_whole_lines_or_a_part_of_one(expected: str, got: str, *, matched: bool) -> None:
    assert _pages.matches(expected, got) is matched


def test_a_command_may_go_on_over_lines(tmp_path: Path) -> None:
    run("```console\n$ cat <<EOF\n> one\n> EOF\none\n```\n", tmp_path)


def test_a_captioned_block_is_a_file(tmp_path: Path) -> None:
    run(
        "```{code-block} yaml\n:caption: a/b.yaml\nkind: Pod\n```\n```console\n$ cat a/b.yaml\nkind: Pod\n```\n",
        tmp_path,
    )


def test_python_that_raises_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ValueError: no"):
        run("```python\nraise ValueError('no')\n```\n", tmp_path)


def test_a_block_is_left_out_with_a_reason_only(tmp_path: Path) -> None:
    run("<!-- not run: it would fail -->\n```bash\nfalse\n```\n", tmp_path)
    with pytest.raises(AssertionError):
        run("<!-- not run: it would fail -->\nprose\n```bash\nfalse\n```\n", tmp_path)


def test_a_command_that_hangs_fails(tmp_path: Path) -> None:
    with (
        _pages.shell(tmp_path, ENVIRONMENT) as session,
        pytest.raises(AssertionError, match="still running: sleep 100"),
    ):
        session.run("sleep 100", seconds=0.2)


def test_what_a_page_started_is_stopped_with_it(tmp_path: Path) -> None:
    with _pages.shell(tmp_path, ENVIRONMENT) as session:
        _, output = session.run("sleep 1000 & echo $!")
    state = subprocess.run(["ps", "-o", "stat=", "-p", output.strip()], capture_output=True, text=True, check=False)
    assert state.stdout.strip()[:1] in ("", "Z")
