from __future__ import annotations

from pathlib import Path

import pytest

from .machines import FakeMachine


@pytest.fixture(params=["v1", "hybrid", "v2"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    return FakeMachine(tmp_path, request.param, monkeypatch)
