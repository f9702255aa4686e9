"""What --admission-control-config-file may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperkube_apiserver.admission.configuration import ConfigurationError, read_configurations

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"
SELECTORS = {"podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "a=b"}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "admission.yaml"


def test_plugins_are_told_inline_or_in_files_of_their_own(file: Path) -> None:
    (file.parent / "selectors.yaml").write_text("podNodeSelectorPluginConfig:\n  clusterDefaultNodeSelector: a=b\n")
    file.write_text(
        HEAD + "plugins:\n- name: PodNodeSelector\n  path: selectors.yaml\n- name: Priority\n"
        "  configuration: {a: 1}\n- name: Priority\n  configuration: {a: 2}\n- name: RuntimeClass\n"
    )
    found = read_configurations(file)
    assert found == {"PodNodeSelector": SELECTORS, "Priority": {"a": 1}, "RuntimeClass": None}


def test_the_old_bare_file_is_the_node_selectors(file: Path) -> None:
    file.write_text("podNodeSelectorPluginConfig:\n  clusterDefaultNodeSelector: a=b\n")
    assert read_configurations(file) == {"PodNodeSelector": SELECTORS}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\n", "Object 'Kind' is missing"),
        ("kind: AdmissionConfiguration\napiVersion: v1\n", 'is registered for version "v1"'),
        (HEAD + "plugins: [{name: Priority, paths: x}]\n", r'unknown field "plugins\[0\].paths"'),
        (HEAD + "plugins:\n- path: x\n", r"plugins\[0\].name: Required value"),
        (HEAD + "plugins:\n- name: Priority\n  path: none.yaml\n", "unable to read .*none.yaml: No such file"),
        (HEAD + "kind: AdmissionConfiguration\n", "already set|duplicate"),
        ("- a\n", "holds no object"),
        ("{", "admission.yaml: "),
    ],
)
def test_a_file_that_says_something_else_is_told(file: Path, text: str, why: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=why):
        read_configurations(file)


def test_a_file_that_is_not_there_is_told(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"unable to read .*: No such file"):
        read_configurations(file)
