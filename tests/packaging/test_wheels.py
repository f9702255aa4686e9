"""Every wheel has what its users need, and nothing of the checkout beside it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from _wheels import distributions

NAMES = sorted(distributions())


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    given: str = request.param
    return given


@pytest.fixture
def content(name: str, wheels: Mapping[str, Path]) -> Mapping[str, bytes]:
    """The files of a wheel by their path."""
    with zipfile.ZipFile(wheels[name]) as archive:
        return {path: archive.read(path) for path in archive.namelist()}


@pytest.fixture
def metadata(content: Mapping[str, bytes]) -> Message:
    (file,) = [path for path in content if path.endswith(".dist-info/METADATA")]
    return Parser().parsestr(content[file].decode())


def test_it_runs_on_every_platform(name: str, wheels: Mapping[str, Path]) -> None:
    assert wheels[name].name.endswith("-py3-none-any.whl")


def test_it_is_typed_and_licensed(name: str, content: Mapping[str, bytes]) -> None:
    package = name.replace("-", "_")
    assert f"{package}/py.typed" in content
    assert f"{package}/__init__.py" in content
    licences = {path.rpartition("/")[2]: text for path, text in content.items() if ".dist-info/licenses/" in path}
    assert b"Apache License" in licences["LICENSE"]
    assert b"The Kubernetes Authors" in licences["NOTICE"]


def test_it_holds_its_package_and_nothing_else(name: str, content: Mapping[str, bytes]) -> None:
    package = name.replace("-", "_")
    strays = [path for path in content if not re.match(rf"{package}(/|-[\w.]+\.dist-info/)", path)]
    assert strays == []
    assert [path for path in content if "__pycache__" in path or path.endswith((".pyc", ".orig"))] == []


def test_its_description_is_its_readme(metadata: Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    body = metadata.get_payload()
    assert isinstance(body, str)
    assert body.lstrip().startswith("# h")


def test_its_metadata_names_licence_and_python(metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"


def test_core_brings_both_commands(wheels: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(wheels["hyperkube-core"]) as archive:
        (file,) = [path for path in archive.namelist() if path.endswith("/entry_points.txt")]
        scripts = re.findall(r"^(\w+) = hyperkube_core", archive.read(file).decode(), re.MULTILINE)
    assert sorted(scripts) == ["hk", "hyperkube"]
