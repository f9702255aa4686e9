"""What the distributions say of themselves agrees, and names no address and no machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = [ROOT / "pyproject.toml", *sorted((ROOT / "plugins").glob("*/pyproject.toml"))]
SIBLING = re.compile(r"hyperkube-\w")


def load(project: Path) -> dict[str, Any]:
    return tomllib.loads(project.read_text())


@pytest.fixture(params=PROJECTS, ids=lambda path: path.parent.name)
def project(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(request.param)


def test_all_distributions_carry_one_version() -> None:
    assert len({load(path)["project"]["version"] for path in PROJECTS}) == 1


def test_siblings_are_required_in_exactly_this_version(project: dict[str, Any]) -> None:
    version = project["project"]["version"]
    siblings = [name for name in project["project"].get("dependencies", []) if SIBLING.match(name)]
    assert [str(Requirement(name).specifier) for name in siblings] == [f"=={version}"] * len(siblings)


def test_siblings_come_from_the_workspace(project: dict[str, Any]) -> None:
    siblings = {Requirement(name).name for name in project["project"].get("dependencies", []) if SIBLING.match(name)}
    sources = project.get("tool", {}).get("uv", {}).get("sources", {})
    assert {name: sources.get(name) for name in siblings} == {name: {"workspace": True} for name in siblings}


def test_names_licence_and_python_are_the_same_everywhere(project: dict[str, Any]) -> None:
    core = load(ROOT / "pyproject.toml")
    for field in ("license", "license-files", "requires-python", "readme"):
        assert project["project"][field] == core["project"][field], field
    assert project["build-system"] == core["build-system"]
    assert "Typing :: Typed" in project["project"]["classifiers"]


@pytest.mark.parametrize("folder", [path.parent for path in PROJECTS[1:]], ids=lambda path: path.name)
def test_every_distribution_carries_the_licence(folder: Path) -> None:
    for file in load(ROOT / "pyproject.toml")["project"]["license-files"]:
        assert (folder / file).read_bytes() == (ROOT / file).read_bytes()


def test_every_distribution_is_checked_like_the_others() -> None:
    tools = load(ROOT / "pyproject.toml")["tool"]
    packages = {load(path)["project"]["name"].replace("-", "_") for path in PROJECTS}
    assert set(tools["importlinter"]["root_packages"]) == packages
    assert set(tools["coverage"]["run"]["source_pkgs"]) == packages
    assert set(tools["ruff"]["lint"]["isort"]["known-first-party"]) == packages
    sources = {f"$MYPY_CONFIG_FILE_DIR/{path.parent.relative_to(ROOT)}/src" for path in PROJECTS[1:]}
    assert sources <= set(tools["mypy"]["mypy_path"])


@pytest.mark.parametrize("file", sorted((ROOT / "constraints").glob("*.txt")), ids=lambda path: path.name)
class TestConstraints:
    def test_holds_no_address_and_no_path_of_a_machine(self, file: Path) -> None:
        assert re.findall(r"\S*(?:://|@ |^-i|--index|--find-links|/home/|/root/|/tmp/).*", file.read_text()) == []

    def test_every_pin_is_exact_and_has_hashes(self, file: Path) -> None:
        lines = [line for line in file.read_text().splitlines() if line and not line.lstrip().startswith("#")]
        pins = [number for number, line in enumerate(lines) if not line.startswith(" ")]
        assert pins
        for number in pins:
            assert re.match(r"[a-z0-9.-]+==[\w.]+( ;.*)? \\$", lines[number]), lines[number]
            assert re.match(r"    --hash=sha256:[0-9a-f]{64}", lines[number + 1]), lines[number]

    def test_pins_no_sibling(self, file: Path) -> None:
        assert not re.search(r"^hyperkube", file.read_text(), re.MULTILINE)


def pins(file: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==([\w.]+)", (ROOT / "constraints" / file).read_text(), re.MULTILINE))


def test_the_starter_uses_what_development_is_pinned_to() -> None:
    assert pins("uv.txt").items() <= pins("dev.txt").items()
    block = re.search(r"# /// script\n(.*?)# ///", (ROOT / "noxfile.py").read_text(), re.DOTALL)
    assert block is not None
    needs = dict(re.findall(r'"([a-z0-9.-]+)==([\w.]+)"', block[1]))
    assert "nox" in needs
    assert needs.items() <= pins("dev.txt").items()


def test_pins_satisfy_every_distribution(project: dict[str, Any]) -> None:
    for file in ("dev.txt", "oldest.txt"):
        pinned = pins(file)
        for text in project["project"].get("dependencies", []):
            requirement = Requirement(text)
            if not SIBLING.match(text):
                assert pinned[requirement.name.lower()] in requirement.specifier, (file, text)


def test_oldest_pins_are_the_lower_bounds(project: dict[str, Any]) -> None:
    pinned = pins("oldest.txt")
    for text in project["project"].get("dependencies", []):
        requirement = Requirement(text)
        if not SIBLING.match(text):
            lower = next(part.version for part in requirement.specifier if part.operator == ">=")
            assert pinned[requirement.name.lower()].startswith(lower), text


@pytest.mark.parametrize("ignored", ["uv.lock", ".venv/", "dist/"])
def test_what_holds_addresses_or_is_built_stays_out_of_the_repository(ignored: str) -> None:
    assert ignored in (ROOT / ".gitignore").read_text().splitlines()
