"""Fixtures that every test of the checkout may ask for, whichever distribution it tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import _tools
import pytest
from hypothesis import settings

# How long an example takes says something about the machine: the first one may have to wait for it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


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


@pytest.fixture(scope="session")
def nft() -> Path:
    return _tools.nft()


@pytest.fixture(scope="session")
def busybox() -> Iterator[Path]:
    """A static one, where containers of the machine's own image see it as well, whose /tmp is their own."""
    found = _tools.busybox()
    if Path("/tmp") not in found.parents:
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="hk-busybox-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(shutil.copy(found, folder))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The wheel of every distribution, by its name: those in the folder HK_TEST_WHEELS, or built for this run."""
    import _wheels  # a distribution's tests run without uv as well

    given = os.environ.get("HK_TEST_WHEELS")
    if given:
        return {name: next(Path(given).glob(f"{name.replace('-', '_')}-*.whl")) for name in _wheels.distributions()}
    target = tmp_path_factory.mktemp("wheels")
    return {name: _wheels.build(folder, target) for name, folder in _wheels.distributions().items()}
