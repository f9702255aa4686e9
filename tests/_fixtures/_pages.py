"""The fenced blocks of a Markdown page, and a shell that runs them as a reader would.

- `bash`: run as it stands; none of its commands may fail.
- `console`: what follows `$ ` is run (`> ` continues it), the lines below are what it prints. `...` stands for
  anything in a line and, alone, for any lines; columns may be spaced otherwise. A status other than 0 is an error
  unless the next command is `echo $?`.
- `python`: run by the page's Python.
- any language with a caption, `:caption: path`: the file of that name.
- other languages, and blocks behind `<!-- not run: reason -->`, are not run.

The blocks of a page share one shell, one folder and one environment, in the page's order.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RUN = ("bash", "console", "python")
SECONDS = 60.0
"""How long one command may take."""


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    text: str
    line: int
    caption: str = ""
    not_run: str = ""
    """The reason, for a block that would be run otherwise."""

    @property
    def runs(self) -> bool:
        return (self.language in RUN or bool(self.caption)) and not self.not_run


_FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,})(?P<info>.*)")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->")


def blocks(page: str) -> Iterator[Block]:
    """Every fenced block of `page`, in order."""
    lines = page.splitlines()
    number = 0
    reason = ""
    while number < len(lines):
        opening = _FENCE.fullmatch(lines[number])
        marker = _NOT_RUN.fullmatch(lines[number].strip())
        if marker:
            reason = marker["reason"]
        elif lines[number].strip() and not opening:
            reason = ""
        number += 1
        if not opening:
            continue
        start = number
        while number < len(lines) and lines[number].strip() != opening["fence"]:
            number += 1
        body = [line.removeprefix(opening["indent"]) for line in lines[start:number]]
        number += 1
        yield _block(opening["info"].strip(), body, start, reason)
        reason = ""


def _block(info: str, body: list[str], line: int, reason: str) -> Block:
    directive = re.fullmatch(r"\{code(?:-block)?\} *(\w+)", info)
    caption = ""
    while directive and body and (option := re.fullmatch(r":(\w+): *(.*)", body[0])):
        caption = option[2] if option[1] == "caption" else caption
        body = body[1:]
    language = directive[1] if directive else info
    return Block(language, "\n".join(body).strip("\n") + "\n", line + 1, caption, reason)


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a console block and what it prints."""

    command: str
    expected: str
    may_fail: bool


def steps(block: Block) -> list[Step]:
    found: list[tuple[list[str], list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0].append(line[2:])
        elif found:
            found[-1][1].append(line)
        else:
            raise AssertionError(f"line {block.line}: a console block begins with a command: `$ …`")
    commands = ["\n".join(command) for command, _ in found]
    following = [*commands[1:], ""]
    return [
        Step(command, "\n".join(expected), may_fail=after.startswith("echo $?"))
        for command, after, (_, expected) in zip(commands, following, found, strict=True)
    ]


def matches(expected: str, got: str) -> bool:
    """Whether `got` is what the page shows: `...` stands for anything in a line and, alone, for any lines or none."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "..." else ".*".join(re.escape(part) for part in line.split("...")) + r"\n"
        for line in _lines(expected)
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in _lines(got))) is not None


def _lines(text: str) -> list[str]:
    return [re.sub(r"\s+", " ", line).strip() for line in text.strip().splitlines()]


class Shell:
    """A bash that keeps its variables, folder and background jobs from one command to the next."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout
        os.set_blocking(self._output.fileno(), False)

    def run(self, script: str, *, seconds: float = SECONDS) -> tuple[int, str]:
        """The status of `script` and what it printed on both streams."""
        mark = uuid.uuid4().hex
        # Read by eval, so that an open quote in the script can't swallow the mark; and the next script finds its $?.
        lines = f"eval {shlex.quote(script)} </dev/null\nstatus=$?; printf '\\n{mark} %s\\n' $status; (exit $status)\n"
        self._input.write(lines.encode())
        self._input.flush()
        output, status = self._read_until(re.compile(rb"\n" + mark.encode() + rb" (\d+)\n"), script, seconds)
        return status, output

    def _read_until(self, mark: re.Pattern[bytes], script: str, seconds: float) -> tuple[str, int]:
        deadline = time.monotonic() + seconds
        read = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while not (found := mark.search(read)):
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise AssertionError(f"after {seconds:.0f} s still running: {script}\n{read.decode()}")
                chunk = self._output.read(65536)
                if not chunk:
                    raise AssertionError(f"the shell ended in: {script}\n{read.decode()}")
                read += chunk
        return read[: found.start()].decode(errors="replace"), int(found[1])


@contextmanager
def shell(folder: Path, environment: Mapping[str, str]) -> Iterator[Shell]:
    """A shell in `folder`; whatever it started is stopped with it."""
    process = subprocess.Popen(
        ["bash", "--noprofile", "--norc"],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a group of its own, that can be stopped whole
    )
    try:
        yield Shell(process)
    finally:
        for ask in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, ask)
            except ProcessLookupError:
                break
            if ask is signal.SIGTERM:
                _wait_for_group(process, seconds=10)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _wait_for_group(process: subprocess.Popen[bytes], *, seconds: float) -> None:
    """Wait until nothing of the group is left, which closes the output that they share."""
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            if not process.stdout.read(65536):
                return


def run(page: Sequence[Block], session: Shell, folder: Path) -> None:
    """Run every block of a page that runs; raises AssertionError with the line of the first that does not hold."""
    for block in page:
        if not block.runs:
            continue
        if block.caption:
            target = folder / block.caption
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif block.language == "console":
            for step in steps(block):
                _check(block, step.command, *session.run(step.command), expected=step.expected, may_fail=step.may_fail)
        elif block.language == "python":
            script = f"python - <<'END_OF_BLOCK'\n{block.text}END_OF_BLOCK"
            _check(block, block.text, *session.run(script), expected="...")
        else:
            _check(block, block.text, *session.run(_strictly(block.text)), expected="...")


def _strictly(script: str) -> str:
    """`script` with the status of whichever of its commands failed last; `set -e` would end the shell."""
    return f"failed=0; trap 'failed=$?' ERR\n{script}\ntrap - ERR; (exit $failed)"


def _check(block: Block, command: str, status: int, got: str, *, expected: str, may_fail: bool = False) -> None:
    where = f"line {block.line}: $ {command}"
    assert may_fail or status == 0, f"{where}\nended with status {status} and printed:\n{got}"
    assert matches(expected, got), f"{where}\nprinted:\n{got.strip()}\n\nand not:\n{expected}"
