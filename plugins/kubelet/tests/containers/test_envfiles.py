"""Variables of files that other containers have left."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_kubelet.containers.envfiles import InvalidFile, value_in
from hyperkube_kubelet.containers.environment import Holdings, UnmetReference, environment, file_references
from hyperkube_kubelet.containers.fieldpaths import Addresses

from ..builders import container, pod

TEXT = """
# what was found out
  A='one'
B='two
lines' # and a note
C= 'nothing'
D='$A "as it is" \\n'
A='another'
"""


@pytest.mark.parametrize(
    ("key", "value"), [("A", "one"), ("B", "two\nlines"), ("C", ""), ("D", '$A "as it is" \\n'), ("E", "")]
)
def test_values(key: str, value: str) -> None:
    assert value_in(TEXT, key) == value
    assert value_in(TEXT.replace("\n", "\r\n"), key) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\nA", "at line 2: missing '='"),
        ("='x'", "at line 1: empty variable name"),
        ("A ='x'", "whitespace before '=' is not allowed"),
        ("A=x", "value must be enclosed in single quotes"),
        ("A='x' y", "unexpected content after closing quote"),
        ("A='x\n", "unclosed single quote"),
    ],
)
def test_files_that_are_none(text: str, why: str) -> None:
    with pytest.raises(InvalidFile, match=why):
        value_in(text, "B")


def test_a_file_that_is_wrong_further_on_has_its_first_values() -> None:
    assert value_in("A='x'\nwrong", "A") == "x"


def variable(**more: Any) -> dict[str, Any]:
    return container(
        env=[{"name": "V", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "A", **more}}}]
    )


def made(spec: dict[str, Any], files: dict[tuple[str, str], str | None]) -> dict[str, str]:
    return environment(pod(spec), spec, (), Holdings(files=files), Addresses())


def test_a_variable_is_taken_from_a_file() -> None:
    assert file_references(variable()) == {("v", "p")}
    assert made(variable(), {("v", "p"): "A='x'"}) == {"V": "x"}
    assert made(variable(optional=True), {("v", "p"): "B='x'"}) == {}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, 'cannot find the volume "v" referenced by FileKeyRef'),
        ({("v", "p"): None}, "couldn't parse env file"),
        ({("v", "p"): "A=x"}, "couldn't parse env file"),
        ({("v", "p"): "B='x'"}, 'environment variable key "A" not found in file "p"'),
    ],
)
def test_a_variable_that_cant_be_had(files: dict[tuple[str, str], str | None], why: str) -> None:
    with pytest.raises(UnmetReference) as caught:
        made(variable(), files)
    assert str(caught.value) == why
