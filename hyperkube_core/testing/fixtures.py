"""Fixtures for pytest: `pytest_plugins = ["hyperkube_core.testing.fixtures"]`, or import those that are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hyperkube_core.testing._install import Installed, Site

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A folder of distributions of this test's own."""
    return Site(tmp_path / "site")


@pytest.fixture
def install_plugin(site: Site) -> Callable[..., Installed]:
    """`Site.install`: `install_plugin("good", SOURCE)` installs a distribution with a server of that name."""
    return site.install


@pytest.fixture
def hk(site: Site) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`Site.hk`: `hk("good", "--help")` calls the launcher with what was installed."""
    return site.hk
