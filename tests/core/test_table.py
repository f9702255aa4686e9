"""Tables on a terminal, and for everyone else."""

from __future__ import annotations

import io

import pytest

from hyperkube_core._table import table

TITLES = ("SERVER", "ADDRESS", "REMARK")
LONG = "https://127.0.0.1:26287/and/so/on"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_narrow_terminal_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    drawn = table(TITLES, [("apiserver", LONG, "gone")], Terminal())
    cells = [line.split() for line in drawn.splitlines() if line.split()]
    assert "…" not in drawn
    assert "".join(cell for line in cells[2:] for cell in line if cell not in ("apiserver", "gone")) == LONG


def test_what_nobody_has_takes_no_room_on_a_terminal_and_keeps_its_place_elsewhere() -> None:
    rows = [("apiserver", LONG, ""), ("scheduler", "", "")]
    assert "REMARK" not in table(TITLES, rows, Terminal())
    assert "REMARK" in table(TITLES, rows, io.StringIO())
