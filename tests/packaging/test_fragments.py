"""Every change that users can see is told in a fragment that the release notes find."""

from __future__ import annotations

import re
import tomllib

import pytest
from _wheels import ROOT

CHANGES = ROOT / "docs" / "changes"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
TYPES = {entry["directory"] for entry in SETTINGS["type"]}
FRAGMENTS = sorted(path for path in CHANGES.iterdir() if path.name != "README.md")


def test_fragments_lie_where_the_tool_looks() -> None:
    assert ROOT / SETTINGS["directory"] == CHANGES


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda path: path.name)
class TestFragment:
    def test_its_name_says_what_sort_of_change_it_is(self, fragment: str) -> None:
        name = str(fragment).rpartition("/")[2]
        found = re.fullmatch(r"\+?[a-z0-9-]+\.(\w+)\.md", name)
        assert found, f"{name}: call it +short-words.TYPE.md"
        assert found[1] in TYPES

    def test_it_is_prose_for_users(self, fragment: str) -> None:
        with open(fragment) as file:
            text = file.read().strip()
        assert text.endswith((".", "`"))
        assert not text.startswith(("#", "-", "*")), "the tool makes the list"
