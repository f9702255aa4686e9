"""The log files of a cluster: whose they are, and what happens when they have grown long."""

from __future__ import annotations

import io
import logging
import stat
from pathlib import Path

from hyperkube_core._commands.logs import Tail
from hyperkube_core._logfiles import LogFiles, last_lines, logged
from hyperkube_core._logging import server_name


def test_each_server_has_a_file_of_its_own_that_is_its_owners_alone(tmp_path: Path) -> None:
    files = LogFiles(tmp_path)
    files.write("web", [b"one", b"two\r"])
    files.write("db", [b"three", b"\xff"])
    files.close()
    assert (tmp_path / "web.log").read_text() == "one\ntwo\n"
    assert (tmp_path / "db.log").read_text() == "three\n\ufffd\n"
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert list(logged(tmp_path)) == ["db", "web"]


def test_a_long_file_is_moved_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, limit_bytes=10, kept=2)
    for word in (b"first", b"second", b"third", b"fourth"):
        files.write("web", [word])
    files.close()
    contents = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert contents == {"web.log": "fourth\n", "web.log.1": "third\n", "web.log.2": "second\n"}


def test_what_is_there_is_gone_on_with(tmp_path: Path) -> None:
    for word in (b"before", b"after"):
        files = LogFiles(tmp_path)
        files.write("web", [word])
        files.close()
    assert (tmp_path / "web.log").read_text() == "before\nafter\n"


def test_bearer_tokens_are_kept_out(tmp_path: Path) -> None:
    files = LogFiles(tmp_path)
    files.write("web", [b"Authorization: Bearer abc.def"])
    files.close()
    assert (tmp_path / "web.log").read_text() == "Authorization: Bearer <redacted>\n"


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "nowhere")
    files.write("web", [b"lost"])
    files.close()


def test_what_is_logged_here_goes_to_the_server_on_whose_behalf_it_is(tmp_path: Path) -> None:
    files = LogFiles(tmp_path)
    logger = logging.Logger("test")
    logger.addHandler(files.handler())
    logger.info("of nobody")
    token = server_name.set("web")
    logger.info("of web\nin two lines")
    server_name.reset(token)
    files.close()
    assert (tmp_path / "hk.log").read_text() == "of nobody\n"
    assert (tmp_path / "web.log").read_text() == "of web\nin two lines\n"
    assert list(logged(tmp_path)) == ["web", "hk"]


def test_the_last_lines_are_found_without_reading_all(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert last_lines(path, 2) == ["line 998", "line 999"]
    assert last_lines(path, 500, most_bytes=18) == ["line 998", "line 999"]
    assert last_lines(path, 0) == []
    assert last_lines(tmp_path / "none", 2) == []


class Reader:
    """Follows a file."""

    def __init__(self, path: Path, count: int | None = None) -> None:
        self._output = io.StringIO()
        self._tail = Tail(path, "web", self._write, count)

    def _write(self, label: str, lines: list[bytes]) -> None:
        self._output.writelines(f"{line.decode()}\n" for line in lines)

    def read(self) -> str:
        self._tail.read()
        return self._said()

    def close(self) -> str:
        self._tail.close()
        return self._said()

    def _said(self) -> str:
        text = self._output.getvalue()
        self._output.seek(0)
        self._output.truncate()
        return text


def test_a_file_is_followed_when_it_is_moved_aside(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, limit_bytes=10)
    files.write("web", [b"one"])
    reader = Reader(tmp_path / "web.log")
    assert reader.read() == "one\n"
    files.write("web", [b"two"])
    assert reader.read() == "two\n"
    files.write("web", [b"3"])
    files.write("web", [b"moved"])
    assert reader.read() == "3\nmoved\n"
    files.write("web", [b"on"])
    assert reader.read() == "on\n"
    assert reader.close() == ""
    files.close()


def test_a_file_that_comes_later_is_followed_from_its_beginning(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "web.log")
    assert reader.read() == ""
    (tmp_path / "web.log").write_text("first\nhalf")
    assert reader.read() == "first\n"
    with (tmp_path / "web.log").open("a") as file:
        file.write(" a line\n")
    assert reader.read() == "half a line\n"
    with (tmp_path / "web.log").open("a") as file:
        file.write("the end")
    assert reader.read() == ""
    assert reader.close() == "the end\n"


def test_following_begins_behind_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text("one\ntwo\nthree\n")
    reader = Reader(path, 1)
    assert reader.read() == "three\n"
    with path.open("a") as file:
        file.write("four\n")
    assert reader.read() == "four\n"
    assert reader.close() == ""
