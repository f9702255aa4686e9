"""Command lines as Go's flags are."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hyperkube_core import UnknownFlag, UsageError
from hyperkube_core._flags import Flag, FlagLike, FlagSet, near

FLAGS = (
    Flag("secure-port"),
    Flag("watch-cache", optional_value="true"),
    Flag("quiet", "q", optional_value="true"),
    Flag("v", "v"),
    Flag("name", "n"),
)


def parse(*args: str, interspersed: bool = True) -> tuple[list[tuple[str, str]], list[str]]:
    parsed = FlagSet(FLAGS).parse(args, interspersed=interspersed)
    return [(given.flag, given.text) for given in parsed.given], parsed.rest


@pytest.mark.parametrize(
    ("args", "given"),
    [
        (["--secure-port=1"], [("secure-port", "1")]),
        (["--secure-port", "1"], [("secure-port", "1")]),
        (["--secure_port", "1"], [("secure-port", "1")]),
        (["--secure_port=a_b"], [("secure-port", "a_b")]),
        (["--secure-port="], [("secure-port", "")]),
        (["--secure-port", "--v"], [("secure-port", "--v")]),
        (["--secure-port=a=b"], [("secure-port", "a=b")]),
        (["--watch-cache"], [("watch-cache", "true")]),
        (["--watch-cache=false"], [("watch-cache", "false")]),
        (["-v=2"], [("v", "2")]),
        (["--v=2"], [("v", "2")]),
        (["-v", "2"], [("v", "2")]),
        (["-v2"], [("v", "2")]),
        (["-qv2"], [("quiet", "true"), ("v", "2")]),
        (["-q=false"], [("quiet", "false")]),
        (["-n", "a", "-n=b"], [("name", "a"), ("name", "b")]),
    ],
)
def test_each_way_to_write_a_flag_is_read(args: list[str], given: list[tuple[str, str]]) -> None:
    assert parse(*args) == (given, [])


def test_a_bool_takes_no_word_behind_it() -> None:
    assert parse("--watch-cache", "false") == ([("watch-cache", "true")], ["false"])


def test_two_dashes_end_the_flags() -> None:
    assert parse("-v=1", "--", "-v=2", "x") == ([("v", "1")], ["-v=2", "x"])


def test_a_single_dash_is_a_word() -> None:
    assert parse("-", "-v=1") == ([("v", "1")], ["-"])


def test_reading_may_stop_at_the_first_word() -> None:
    assert parse("-v=1", "server", "--bad", interspersed=False) == ([("v", "1")], ["server", "--bad"])


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--bad-flag"], "unknown flag: --bad-flag"),
        (["--bad-flag=1"], "unknown flag: --bad-flag"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-qx"], "unknown shorthand flag: 'x' in -qx"),
        (["--secure-port"], "flag needs an argument: --secure-port"),
        (["-v"], "flag needs an argument: 'v' in -v"),
        (["--=1"], "bad flag syntax: --=1"),
        (["---x"], "bad flag syntax: ---x"),
    ],
)
def test_what_cannot_be_read_is_named(args: list[str], error: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*args)
    assert str(caught.value) == error


def test_near_misses_are_suggested() -> None:
    with pytest.raises(UnknownFlag) as caught:
        parse("--secure-prt=1")
    assert caught.value.suggestions == ("--secure-port",)
    assert caught.value.flag == "--secure-prt"


def test_further_flags_are_asked_for_only_when_one_is_unknown() -> None:
    asked = []

    def more() -> Mapping[str, FlagLike]:
        asked.append(True)
        return {"foreign": Flag("foreign")}

    flags = FlagSet(FLAGS, more)
    flags.parse(["--secure-port=1"])
    assert asked == []
    assert flags.parse(["--foreign=1"]).last("foreign") == "1"
    flags.parse(["--foreign=2"])
    assert asked == [True]


def test_near_finds_typing_errors_and_beginnings() -> None:
    assert near("apisever", ["apiserver", "kubelet"]) == ("apiserver",)
    assert near("cont", ["controller-manager"]) == ("controller-manager",)
    assert near("x", ["apiserver"]) == ()
