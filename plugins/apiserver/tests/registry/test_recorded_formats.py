"""Texts have the formats that kube-apiserver 1.36 was seen to find in them (`data/customformats.json`)."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from hyperkube_apiserver.registry.apiextensions.formats import has_format

RECORDED = orjson.loads((Path(__file__).parents[1] / "data" / "customformats.json").read_bytes())
TEXTS = [(name, text, is_valid == "valid") for name, by in RECORDED.items() for is_valid in by for text in by[is_valid]]
LONG = 20_000
ODD = ("1", "a", "(", '"', "@", "a@", ":", "1 ", "a.", "-", "\\", "<", "(a", "1h", "::", "%", " ", ",a")


@pytest.mark.parametrize(("name", "text", "is_valid"), TEXTS)
def test_a_text_has_a_format_or_not(name: str, text: str, is_valid: bool) -> None:
    assert has_format(text, name) == is_valid


@pytest.mark.parametrize("name", RECORDED)
def test_no_text_of_a_stranger_is_too_much(name: str) -> None:
    """One that takes its length squared would hold the test up for minutes, one that nests end in an error."""
    for part in ODD:
        assert has_format(part * LONG + "!", name) in (True, False)
