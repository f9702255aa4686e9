"""Wheels of this checkout, and environments that they are installed into."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).resolve().parents[2]
PINS = ROOT / "constraints" / "dev.txt"


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of its own, which knows nothing of the checkout."""

    folder: Path
    home: Path

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    def install(self, *wheels: Path) -> None:
        """Install `wheels` and their dependencies: without the network where uv's cache has them.

        The distributions of the checkout are given by path, so that no index is asked for their names.
        """
        command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(self.program("python"))]
        command += ["--constraint", str(PINS), *map(str, wheels)]
        if subprocess.run([*command, "--offline"], capture_output=True, check=False).returncode:
            subprocess.run(command, check=True)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment outside the checkout; stdout and stderr are text."""
        return subprocess.run(
            [str(self.program(command[0])), *command[1:]],
            cwd=self.home,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home), "COLUMNS": "80", **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def build(project: Path, target: Path) -> Path:
    """The wheel of `project`, built with this environment's hatchling; the project's folder stays as it is."""
    before = set(target.glob("*.whl"))
    subprocess.run(
        [uv.find_uv_bin(), "build", "--quiet", "--wheel", "--no-build-isolation", "--offline"]
        + ["--python", sys.executable, "--out-dir", str(target), str(project)],
        check=True,
        env={**os.environ, "VIRTUAL_ENV": sys.prefix},
    )
    (made,) = set(target.glob("*.whl")) - before
    return made


def distributions() -> Mapping[str, Path]:
    """The folder of every distribution of the checkout, by its name."""
    plugins = sorted((ROOT / "plugins").glob("*/pyproject.toml"))
    return {"hyperkube-core": ROOT} | {f"hyperkube-{path.parent.name}": path.parent for path in plugins}


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The wheel of every distribution, by its name: those in HK_TEST_WHEELS, or built for this run."""
    given = os.environ.get("HK_TEST_WHEELS")
    if given:
        return {name: next(Path(given).glob(f"{name.replace('-', '_')}-*.whl")) for name in distributions()}
    target = tmp_path_factory.mktemp("wheels")
    return {name: build(folder, target) for name, folder in distributions().items()}


@pytest.fixture(scope="session")
def _environments(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Environment]:
    def make() -> Environment:
        folder = tmp_path_factory.mktemp("environment")
        subprocess.run(
            [uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(folder / "venv")], check=True
        )
        (folder / "home").mkdir()
        return Environment(folder / "venv", folder / "home")

    return make


@pytest.fixture
def environment(_environments: Callable[[], Environment]) -> Environment:
    """An empty environment for one test."""
    return _environments()


@pytest.fixture(scope="session")
def core_environment(_environments: Callable[[], Environment], wheels: Mapping[str, Path]) -> Iterator[Environment]:
    """An environment with hyperkube-core and no server; tests must leave it so."""
    made = _environments()
    made.install(wheels["hyperkube-core"])
    yield made
