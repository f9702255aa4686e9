"""What log lines look like, for people and for programs."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from hyperkube_core import _logging
from hyperkube_core._lines import Relay, Splitter
from hyperkube_core._logging import (
    HumanFormatter,
    JSONFormatter,
    KlogFormatter,
    LogSettings,
    configure,
    level_of,
    quoted,
    server_name,
    verbose,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.anyio

log = logging.getLogger("test.logging")


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`configure`, undone afterwards."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield lambda **settings: configure(LogSettings(**settings))
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.captureWarnings(False)
    _logging._handler, _logging._settings = None, LogSettings()


def record(message: str = "hello", *args: object, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("test", level, "/src/file.py", 10, message, args, extra.pop("exc_info", None))
    made.__dict__.update(extra)
    made.created = 1_700_000_000.123456
    made.process = 12345
    return made


@pytest.fixture
def served() -> Iterator[None]:
    token = server_name.set("apiserver")
    yield
    server_name.reset(token)


@pytest.mark.usefixtures("served")
def test_klog_lines_are_as_klog_writes_them() -> None:
    line = KlogFormatter().format(record("listening on %s", "::1", address="[::1]:6443", tries=3, ok=True, none=None))
    assert re.fullmatch(
        r'I111\d \d\d:\d\d:20\.123456   12345 file\.py:10\] "listening on ::1" server="apiserver"'
        r' address="\[::1\]:6443" tries=3 ok=true none=<nil>',
        line,
    )


@pytest.mark.parametrize(
    ("level", "letter"),
    [(1, "I"), (16, "I"), (20, "I"), (30, "W"), (40, "E"), (50, "F")],
)
def test_klog_severities(level: int, letter: str) -> None:
    assert KlogFormatter().format(record(level=level))[0] == letter


def test_klog_quotes_as_go_does() -> None:
    assert quoted('a "b"\\\n\t\x00é\u200b😀') == '"a \\"b\\"\\\\\\n\\t\\x00é\\u200b😀"'


def test_klog_writes_values_of_many_lines_between_brackets() -> None:
    line = KlogFormatter().format(record(diff="one\ntwo\n", items=["x", 1]))
    assert line.endswith('"hello" diff=<\n\tone\n\ttwo\n > items=["x",1]')


def test_an_exception_brings_its_traceback() -> None:
    try:
        raise ValueError("bad value")
    except ValueError as exc:
        info = (type(exc), exc, exc.__traceback__)
    klog = KlogFormatter().format(record(level=logging.ERROR, exc_info=info))
    assert 'err="bad value" traceback=<\n\tTraceback (most recent call last):\n' in klog
    entry = json.loads(JSONFormatter().format(record(level=logging.ERROR, exc_info=info)))
    assert entry["err"] == "bad value"
    assert "test_logging.py" in entry["traceback"]
    assert "v" not in entry


@pytest.mark.usefixtures("served")
def test_json_lines_have_kubernetes_fields() -> None:
    entry = json.loads(JSONFormatter().format(record("hello", level=level_of(4), key="v", msg2=object)))
    assert entry.pop("msg2").startswith("<class")
    assert entry == {
        "ts": 1700000000123.456,
        "caller": "file.py:10",
        "msg": "hello",
        "v": 4,
        "server": "apiserver",
        "key": "v",
    }


@pytest.mark.usefixtures("served")
def test_human_lines_name_the_server_on_each() -> None:
    first, second = HumanFormatter(color=False).format(record("one\ntwo", key="a b")).splitlines()
    assert re.fullmatch(r"apiserver \| \d\d:\d\d:20\.123 INFO  one", first)
    assert re.fullmatch(r"apiserver \| {20}two  key=\"a b\"", second)


@pytest.mark.usefixtures("served")
def test_a_managed_child_leaves_its_name_to_its_parent() -> None:
    assert "apiserver" not in HumanFormatter(color=False, label="apiserver").format(record())


@pytest.mark.parametrize("formatter", [HumanFormatter(color=True), KlogFormatter(), JSONFormatter()])
def test_bearer_tokens_are_never_written(formatter: logging.Formatter) -> None:
    line = formatter.format(record("Authorization: Bearer ey.J-x_y=", header="bearer abc.def"))
    assert "ey.J" not in line
    assert "abc.def" not in line
    assert line.count("<redacted>") == 2


def test_what_is_said_about_bearer_tokens_stays_readable() -> None:
    line = KlogFormatter().format(record("a bearer token is refused: invalid bearer token", header="bearer token.def"))
    assert "a bearer token is refused: invalid bearer token" in line
    assert "token.def" not in line


@pytest.mark.parametrize(("verbosity", "seen"), [(0, [0]), (2, [0, 1, 2]), (10, [0, 1, 2, 3, 4])])
def test_verbosity_is_klogs(
    configured: Callable[..., None], capsys: pytest.CaptureFixture[str], verbosity: int, seen: list[int]
) -> None:
    configured(verbosity=verbosity, format="json")
    for at in range(5):
        verbose(log, at, "at %d", at, detail="x")
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(entry["msg"], entry["v"]) for entry in entries] == [(f"at {at}", at) for at in seen]
    assert all(entry["caller"].startswith("test_logging.py") for entry in entries)


def test_debug_lines_of_libraries_are_verbosity_10(
    configured: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    for verbosity in (9, 10):
        configured(verbosity=verbosity, format="klog")
        log.debug("detail at %d", verbosity)
    assert "detail at 9" not in (written := capsys.readouterr().err)
    assert "detail at 10" in written


def test_there_is_one_handler_however_often_it_is_configured(
    configured: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    logging.basicConfig(force=False)
    logging.getLogger().addHandler(logging.StreamHandler())  # as a plugin's import might
    configured(format="klog")
    configured(format="klog")
    log.info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_warnings_are_logged(configured: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    configured(format="klog")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    assert re.search(r"^W\d{4} .*old way", capsys.readouterr().err)


async def test_tasks_and_threads_carry_their_servers_name() -> None:
    names: list[str] = []

    async def deeper() -> None:
        names.append(server_name.get())
        await asyncio.to_thread(lambda: names.append(server_name.get()))

    async def server(name: str) -> None:
        server_name.set(name)
        await asyncio.create_task(deeper())

    await asyncio.gather(asyncio.create_task(server("a")), asyncio.create_task(server("b")))
    assert sorted(names) == ["a", "a", "b", "b"]
    assert server_name.get() == ""


def test_the_settings_of_a_child_are_its_parents() -> None:
    flags = LogSettings(verbosity=3, format="human", color="always").as_flags()
    assert flags == ("-v=3", "--logging-format=human", "--log-color=always")
    assert LogSettings().as_flags() == ("-v=0", "--logging-format=klog", "--log-color=never"), "stderr is no terminal"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_found_however_the_stream_is_cut(size: int) -> None:
    text = b"one\n\ntwo is longer than the limit\nthree"
    splitter = Splitter(limit=10)
    lines = [line for at in range(0, len(text), size) for line in splitter.feed(text[at : at + size])]
    lines += splitter.flush()
    assert b"".join(lines) == text.replace(b"\n", b"")
    assert all(len(line) <= 10 for line in lines)
    assert lines[:2] == [b"one", b""]
    assert lines[-1] == b"three"


class Broken:
    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_reader_that_went_away_is_no_reason_to_stop() -> None:
    Relay(LogSettings(), Broken()).write("a", [b"x"])  # type: ignore[arg-type]


def test_threads_of_a_server_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    line: list[str] = []

    def body() -> None:
        server_name.set("b")
        line.append(KlogFormatter().format(record()))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert 'server="b"' in line[0]
