"""Environments that wheels are installed into."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from _wheels import Environment


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An empty environment for one test."""
    return Environment.create(tmp_path)


@pytest.fixture(scope="session")
def core_environment(tmp_path_factory: pytest.TempPathFactory, wheels: Mapping[str, Path]) -> Environment:
    """An environment with hyperkube-core and no server; tests leave it so."""
    made = Environment.create(tmp_path_factory.mktemp("core"))
    made.install(wheels["hyperkube-core"])
    return made
