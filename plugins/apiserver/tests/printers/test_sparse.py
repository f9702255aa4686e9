"""Rows of objects that lack what they usually have: one odd object must not spoil a list."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.printers import ListMeta, negotiate
from hyperkube_apiserver.printers.negotiation import error_media_type, parse_accept
from hyperkube_apiserver.printers.table import table
from hyperkube_machinery.errors import APIError

KINDS = {(kind.resource.api_version, kind.resource.kind): kind for kind in load_kinds().values()}
DATA = Path(__file__).parent / "data"
FULL: list[dict[str, Any]] = [
    *(case["object"] for case in json.loads((DATA / "rows.json").read_text())),
    *json.loads((DATA / "full.json").read_text()),
]


def places(tree: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a tree below its metadata, which no object lacks."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(tree, dict):
        children = [(key, value) for key, value in tree.items() if at or key not in ("kind", "apiVersion", "metadata")]
    elif isinstance(tree, list):
        children = list(enumerate(tree))
    return [place for key, value in children for place in ((*at, key), *places(value, (*at, key)))]


def without(tree: Any, place: tuple[str | int, ...], *, null: bool) -> None:
    """Take away what is at `place`, or make it null where the API shows nulls; a no-op where it is gone already."""
    *way, last = place
    for key in way:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(tree, dict) and last in tree:
        if null and (isinstance(tree[last], dict | list) or str(last).endswith(("At", "Time", "Timestamp"))):
            tree[last] = None
        else:
            del tree[last]
    elif isinstance(tree, list) and isinstance(last, int) and last < len(tree):
        del tree[last]


def test_the_full_objects_cover_every_kind_that_is_listed() -> None:
    assert {(obj["apiVersion"], obj["kind"]) for obj in FULL} == {key for key, kind in KINDS.items() if kind.columns}


@settings(max_examples=400)
@given(st.data())
def test_objects_with_holes_still_have_rows(data: st.DataObject) -> None:
    obj = deepcopy(data.draw(st.sampled_from(FULL)))
    kind = KINDS[obj["apiVersion"], obj["kind"]]
    for place in data.draw(st.lists(st.sampled_from(places(obj) or [("spec",)]), max_size=4)):
        without(obj, place, null=data.draw(st.booleans()))
    (row,) = table(kind, [obj], ListMeta(), now=1767225605.0)["rows"]
    assert len(row["cells"]) == len(kind.columns) + (kind.resource.kind == "IPAddress")
    assert all(isinstance(cell, str | int) for cell in row["cells"])


PIECES = [*"/*;,= ", "application", "json", "yaml", "as", "Table", "q", "0.5", "nan", "g", "meta.k8s.io"]


@pytest.mark.parametrize("read", [negotiate, error_media_type, parse_accept])
@settings(max_examples=200)
@given(header=st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
def test_no_accept_header_is_more_than_refused(read: Any, header: str) -> None:
    refused = None
    try:
        read(header)
    except APIError as error:
        refused = error
    assert refused is None or refused.code == 406
