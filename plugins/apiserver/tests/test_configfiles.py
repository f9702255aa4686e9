"""Files that configure the server, read by shapes of what they may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperkube_apiserver.configfiles import ConfigFileError, Section, Shape, Unreadable, read_document

HEAD = "kind: Settings\napiVersion: example.com/v1\n"
SHAPE: dict[str, Shape] = {
    "name": "text",
    "size": "number",
    "on": "flag",
    "wait": "text",
    "names": ["text"],
    "free": "any",
    "below": {"name": "text"},
    "list": [{"name": "text", "names": ["text"]}],
}


def read(tmp_path: Path, text: str) -> Section:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return read_document(path, "Settings", ("example.com/v1", "example.com/v1beta1"), SHAPE)


def test_a_file_is_read(tmp_path: Path) -> None:
    said = (
        "name: a\nwait: 1m\nnames: [b]\nfree: {x: [1]}\nbelow: {name: c}\nlist: [{name: d}, {}]\n'on': false\nsize: 7\n"
    )
    found = read(tmp_path, HEAD + said)
    assert (found.text("name"), found.seconds("wait"), found.texts("names")) == ("a", 60, ("b",))
    assert not found.flag("on", default=True)
    below = found.section("below")
    assert below is not None
    assert below.at("name") == "below.name"
    assert [(one.where, one.text("name")) for one in found.sections("list")] == [("list[0]", "d"), ("list[1]", "")]


def test_what_is_not_there_or_null_is_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD + "name: null\nnames: ~\nbelow:\n")
    assert (found.text("name"), found.texts("names"), found.section("below"), found.sections("list")) == (
        *("", (), None, []),
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "it is empty"),
        ("a: [", "yaml: "),
        ("- a", "Object 'Kind' is missing"),
        ("a: 1", "Object 'Kind' is missing"),
        ("kind: Settings", 'no kind "Settings" is registered for version ""'),
        ("kind: Settings\napiVersion: example.com/v2", 'no kind "Settings" is registered for version "example.com/v2"'),
        ("kind: Other\napiVersion: example.com/v1", 'no kind "Other" is registered for version "example.com/v1"'),
        (HEAD + "name: a\nname: b", 'strict decoding error: line 4: key "name" already set in map'),
        (HEAD + "nane: a\nlist: [{x: 1}]", 'strict decoding error: unknown field "nane", unknown field "list[0].x"'),
        (HEAD + "name: 7", "name: must be a string"),
        (HEAD + "'on': 1", "on: must be true or false"),
        (HEAD + "size: true", "size: must be a number"),
        (HEAD + "names: a", "names: must be a list of strings"),
        (HEAD + "names: [7]", "names: must be a list of strings"),
        (HEAD + "below: [a]", "below: must be an object"),
        (HEAD + "list: {name: a}", "list: must be a list of objects"),
        (HEAD + "list: [a]", "list: must be a list of objects"),
        (HEAD + "list: [{names: [[]]}]", "list[0].names: must be a list of strings"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, said: str, why: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        read(tmp_path, said)
    assert str(caught.value).startswith(f"{tmp_path}/settings.yaml: ")
    assert why in str(caught.value)


def test_a_file_of_several_documents_is_its_first(tmp_path: Path) -> None:
    assert read(tmp_path, f"{HEAD}name: first\n---\n{HEAD}name: second\n").text("name") == "first"


def test_what_has_the_wrong_type_is_not_shown_for_it_may_be_a_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError) as caught:
        read(tmp_path, HEAD + "name: [my-secret]")
    assert "my-secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="cannot read it: No such file or directory"):
        read_document(tmp_path / "none", "Settings", ("v1",), SHAPE)
