"""The reaper's own parts."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hyperkube_kubelet

if sys.platform != "linux":
    pytest.skip("the reaper is for Linux alone", allow_module_level=True)

from hyperkube_kubelet.runtime import logformat
from hyperkube_kubelet.runtime.process.reaper.failures import Failure
from hyperkube_kubelet.runtime.process.reaper.logs import LONGEST_PIECE, Log
from hyperkube_kubelet.runtime.process.reaper.network import Addresses, NoAddressLeft
from hyperkube_kubelet.runtime.process.reaper.node import identity_map
from hyperkube_kubelet.runtime.process.reaper.records import Records
from hyperkube_kubelet.runtime.process.reaper.sandboxes import Sandboxes
from hyperkube_kubelet.runtime.process.reaper.trees import copy_tree, remove_tree
from hyperkube_kubelet.runtime.process.reaper.wire import decoded, encoded

SOURCE = Path(hyperkube_kubelet.__file__).parent.parent
HEAVY = {"asyncio", "dataclasses", "typing", "inspect", "logging", "subprocess", "shutil", "pathlib", "threading"}


def test_it_needs_nothing_but_a_little_of_the_standard_library() -> None:
    script = (
        "import sys; sys.path.append(sys.argv[1]); import hyperkube_kubelet.runtime.process.reaper.main;"
        " print(*(name for name in sys.modules))"
    )
    argv = [sys.executable, "-I", "-S", "-c", script, str(SOURCE)]
    loaded = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    own = "hyperkube_kubelet"
    foreign = [
        name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith("__")
    ]
    allowed = {own, f"{own}.runtime", f"{own}.runtime.process"}
    assert [name for name in foreign if name not in allowed and ".reaper" not in name] == []
    assert HEAVY.isdisjoint(loaded)


# Addresses


def test_addresses_are_handed_out_in_turn() -> None:
    addresses = Addresses("10.1.2.0/29", set())
    assert (addresses.gateway, addresses.prefix, addresses.cidr) == ("10.1.2.1", 29, "10.1.2.0/29")
    assert [addresses.take() for _ in range(5)] == [f"10.1.2.{number}" for number in range(2, 7)]
    with pytest.raises(NoAddressLeft, match=r"all 5 addresses of 10\.1\.2\.0/29"):
        addresses.take()
    addresses.give_back("10.1.2.4")
    addresses.give_back("10.1.2.3")
    assert addresses.take() == "10.1.2.3"


def test_an_address_that_was_given_back_is_the_last_to_be_used_again() -> None:
    addresses = Addresses("10.1.2.0/24", set())
    first = addresses.take()
    addresses.give_back(first)
    assert addresses.take() != first


def test_after_a_restart_addresses_go_on_where_they_were() -> None:
    addresses = Addresses("10.1.2.0/24", set())
    addresses.go_on_after("10.1.2.77")
    assert addresses.take() == "10.1.2.78"
    addresses.go_on_after("192.168.0.1")  # of another range, which it had before
    assert addresses.take() == "10.1.2.79"


@pytest.mark.parametrize("cidr", ["10.1.2.0/31", "10.1.2.0/32"])
def test_a_range_may_be_too_small(cidr: str) -> None:
    with pytest.raises(NoAddressLeft):
        Addresses(cidr, set()).take()


def test_root_keeps_every_user() -> None:
    assert identity_map("         0          0 4294967295\n") == "0 0 4294967295\n"
    assert identity_map("0 1000 1\n1 100000 65536\n") == "0 0 1\n1 1 65536\n"


# Logs


def lines(path: Path) -> list[logformat.LogLine]:
    return [logformat.parse(line) for line in path.read_bytes().splitlines(keepends=True)]


def test_what_comes_in_pieces_is_one_line(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "c" / "0.log"), 1 << 20, 2)
    for piece in (b"a", b"b\nc", b"", b"d\n"):
        log.write("stdout", piece)
    log.write("stderr", b"x")
    log.close()
    assert [(line.stream, line.text) for line in lines(tmp_path / "c" / "0.log")] == [
        ("stdout", b"ab\n"),
        ("stdout", b"cd\n"),
        ("stderr", b"x\n"),
    ]


def test_an_empty_line_is_a_line(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "0.log"), 1 << 20, 2)
    log.write("stdout", b"\n\n")
    log.close()
    assert [line.text for line in lines(tmp_path / "0.log")] == [b"\n", b"\n"]


def test_a_line_without_an_end_is_written_as_it_grows(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "0.log"), 1 << 20, 2)
    for _ in range(3):
        log.write("stdout", b"x" * LONGEST_PIECE)
    assert len(lines(tmp_path / "0.log")) == 3
    log.write("stdout", b"end\n")
    log.close()
    assert b"".join(line.text for line in lines(tmp_path / "0.log")) == b"x" * 3 * LONGEST_PIECE + b"end\n"


def test_a_log_goes_on_where_an_earlier_one_ended(tmp_path: Path) -> None:
    for text in (b"1\n", b"2\n"):
        log = Log(str(tmp_path / "0.log"), 1 << 20, 2)
        log.write("stdout", text)
        log.close()
    assert [line.text for line in lines(tmp_path / "0.log")] == [b"1\n", b"2\n"]


def test_a_folder_that_is_gone_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "c" / "0.log"), 10, 2)
    log.write("stdout", b"first line that is long enough\n")
    remove_tree(str(tmp_path / "c"))
    log.write("stdout", b"second line that is long enough\n")
    log.write("stdout", b"third line that is long enough\n")
    log.close()


# Messages, records and trees


def test_messages_are_read_as_they_come() -> None:
    data = encoded({"a": 1}) + encoded({"b": 2})
    received = bytearray()
    found = []
    for byte in data:
        received.append(byte)
        found += list(decoded(received))
    assert found == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\1{"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(decoded(bytearray(data)))


def test_a_record_that_was_not_finished_is_none(tmp_path: Path) -> None:
    records = Records(str(tmp_path))
    records.write("a", {"x": 1})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "record.json").write_text('{"x":')
    found, broken = records.read()
    assert found == {"a": {"x": 1}}
    assert broken == [str(tmp_path / "b")]


def test_a_tree_is_copied_and_removed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d" / "f").write_bytes(b"x" * 100_000)
    (source / "d" / "f").chmod(0o751)
    (source / "in").symlink_to("/d/f")
    (source / "out").symlink_to("../x")
    target = tmp_path / "target"
    copy_tree(str(source), str(target), root=str(target))
    assert (target / "d" / "f").read_bytes() == b"x" * 100_000
    assert (target / "d" / "f").stat().st_mode & 0o777 == 0o751
    assert (target / "in").readlink() == target / "d" / "f"
    assert str((target / "out").readlink()) == "../x"
    (source / "closed").mkdir(mode=0o000)
    (source / "link").symlink_to(target)
    remove_tree(str(source))
    assert not source.exists()
    assert (target / "d" / "f").exists(), "links are not followed"
    remove_tree(str(source))


def test_a_sandbox_that_can_not_be_written_down_gives_back_its_address(tmp_path: Path) -> None:
    class FullDisk(Records):
        def write(self, identity: str, record: dict[str, object]) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    node: Any = SimpleNamespace(addresses=Addresses("10.1.2.0/30", set()), network="loopback", isolated=False)
    sandboxes = Sandboxes(node, node, FullDisk(str(tmp_path)))
    files = {"hosts": "", "hostname": "", "resolv.conf": ""}
    request = {"config": {"uid": "u", "attempt": 0, "host_network": False}, "files": files}
    for _ in range(2):
        with pytest.raises(Failure, match="No space left on device"):
            sandboxes.run(request)
    assert list(tmp_path.iterdir()) == []


def test_a_tree_may_be_deeper_than_anything_can_follow(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=folder)
        following = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = following
    os.close(folder)
    remove_tree(str(tmp_path / "d"))
    assert list(tmp_path.iterdir()) == []
