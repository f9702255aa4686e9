"""Fixtures that every test of the checkout may ask for, whichever distribution it tests."""

from __future__ import annotations

from pathlib import Path

import _tools
import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio alone: servers run on its loop or uvloop's."""
    return "asyncio"


@pytest.fixture(scope="session")
def kubectl() -> Path:
    """The newest kubectl at hand."""
    return _tools.kubectl()[0]


@pytest.fixture(scope="session")
def kubectls() -> list[Path]:
    """Every kubectl at hand, newest first, one a minor version."""
    return _tools.kubectl()


@pytest.fixture(scope="session")
def strace() -> Path:
    return _tools.strace()
