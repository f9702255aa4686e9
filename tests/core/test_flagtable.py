"""Tables of the flags of programs that servers stand in for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hyperkube_core import FlagTable, ForeignFlag

TABLE = {
    "groups": [
        {"treatment": "honoured", "reason": "", "flags": ["port"]},
        {"treatment": "launcher", "reason": "", "flags": ["v"]},
        {"treatment": "warned", "reason": "nothing is profiled", "flags": ["profiling", "profile-seconds"]},
        {"treatment": "refused", "reason": "nothing would be tighter", "flags": ["tight"]},
    ],
    "removed": [{"treatment": "warned", "reason": "it is gone", "flags": ["old"]}],
    "switches": ["profiling"],
    "agrees": {"profiling": ["false"]},
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "hk_with_a_table"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "flags.json").write_text(json.dumps(TABLE))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, folder.name, raising=False)  # another test's
    return folder.name


def test_a_table_tells_what_becomes_of_each_flag(package: str) -> None:
    table = FlagTable(package)
    assert table.treatments() == {
        "port": "honoured",
        "v": "launcher",
        "profiling": "warned",
        "profile-seconds": "warned",
        "tight": "refused",
    }
    assert table.foreign() == {
        "profiling": ForeignFlag("warned", "nothing is profiled", takes_value=False, agrees=("false",)),
        "profile-seconds": ForeignFlag("warned", "nothing is profiled"),
        "tight": ForeignFlag("refused", "nothing would be tighter"),
        "old": ForeignFlag("warned", "it is gone"),
    }


def test_a_package_without_a_table_is_told_of_when_it_is_asked(package: str, tmp_path: Path) -> None:
    table = FlagTable(package)
    (tmp_path / package / "flags.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"flags\.json"):
        table.treatments()
