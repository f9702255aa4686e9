"""The documents, compared with recorded ones, which hold no texts.

`data/openapi.json` has parts of the documents of kube-apiserver 1.36: whole ones for policy/v1, the version and a
group, and of the others some paths and definitions that show a rule each.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.kinds import Kind, Subresource, load_kinds
from hyperkube_apiserver.openapi.documents import Documents
from hyperkube_apiserver.openapi.phrases import VERSION_2
from hyperkube_apiserver.openapi.schemas import Schemas, innermost, references
from hyperkube_machinery.schema.table import load_table

Tree = dict[str, Any]

RECORDED: Tree = json.loads(Path(__file__).parent.parent.joinpath("data", "openapi.json").read_text())
SUBRESOURCES = (
    Subresource(name="binding", kind="Binding", verbs=("create",)),
    Subresource(name="eviction", kind="Eviction", verbs=("create",), group="policy", version="v1"),
    Subresource(name="exec", kind="PodExecOptions", verbs=("create", "get")),
    Subresource(name="log", kind="Pod", verbs=("get",)),
    Subresource(name="proxy", kind="PodProxyOptions", verbs=("create", "delete", "get", "patch", "update")),
)


def kinds() -> Iterator[Kind]:
    """Those that are served, with a subresource of pods of each form."""
    for kind in load_kinds().values():
        yield replace(kind, subresources=SUBRESOURCES) if kind.resource.resource == "pods" else kind


KINDS = tuple(kinds())


DOCUMENTS = Documents(KINDS, "v1.36.2")


@cache
def read(name: str) -> Tree:
    document: Tree = json.loads(gzip.decompress(DOCUMENTS.packed(name, protobuf=False)))
    return document


def without_texts(tree: Any, *, names: bool = False) -> Any:
    """`tree` without descriptions; below `names` the keys are names of things."""
    if isinstance(tree, dict):
        named = ("properties", "definitions", "schemas", "paths")
        return {
            key: without_texts(value, names=key in named)
            for key, value in tree.items()
            if names or key != "description" or not isinstance(value, str)
        }
    return [without_texts(one) for one in tree] if isinstance(tree, list) else tree


def with_parameters(document: Tree, tree: Any) -> Any:
    """`tree` with the parameters that it refers to."""
    if isinstance(tree, list):
        return [with_parameters(document, one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    reference = tree.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/parameters/"):
        return document["parameters"][reference.removeprefix("#/parameters/")]
    return {key: with_parameters(document, value) for key, value in tree.items()}


@pytest.mark.parametrize("name", ["apis/policy/v1", "apis/apps", "version"])
def test_a_document_is_the_recorded_one(name: str) -> None:
    document = without_texts(read(name))
    assert document.pop("info") == {"title": "Kubernetes", "version": "v1.36.2"}
    assert document == RECORDED[name]


@pytest.mark.parametrize("path", RECORDED["api/v1"]["paths"])
def test_a_path_has_the_recorded_operations(path: str) -> None:
    assert without_texts(read("api/v1"))["paths"][path] == RECORDED["api/v1"]["paths"][path]


@pytest.mark.parametrize("name", RECORDED["api/v1"]["components"]["schemas"])
def test_a_definition_has_the_recorded_schema(name: str) -> None:
    found = without_texts(read("api/v1"))["components"]["schemas"][name]
    assert found == RECORDED["api/v1"]["components"]["schemas"][name]


def test_version_2_tells_the_same_in_its_own_form() -> None:
    document = read(VERSION_2)
    found = without_texts(with_parameters(document, document))
    for path, item in RECORDED[VERSION_2]["paths"].items():
        assert found["paths"][path] == item, path
    for name, schema in RECORDED[VERSION_2]["definitions"].items():
        assert found["definitions"][name] == schema, name


def test_every_path_that_is_told_has_operations_of_its_own() -> None:
    identifiers = [
        operation["operationId"]
        for item in read(VERSION_2)["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(identifiers) > 500
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize("name", sorted({*Documents(KINDS, "").hashes()} - {VERSION_2}))
def test_every_reference_leads_somewhere(name: str) -> None:
    document = read(name)
    assert set(references(document)) <= set(document["components"].get("schemas", ()))


def test_there_is_a_document_for_each_group_version_and_what_is_beside() -> None:
    names = set(DOCUMENTS.hashes())
    assert {"api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version", VERSION_2} <= names
    assert {f"apis/{kind.resource.group}/{kind.resource.version}" for kind in KINDS if kind.resource.group} <= names


def test_hashes_change_with_what_a_document_tells() -> None:
    old, fewer, newer = Documents(KINDS, "v1"), Documents(KINDS[:-1], "v1"), Documents(KINDS, "v2")
    assert old.hashes() == Documents(KINDS, "v1").hashes()
    last = KINDS[-1].resource
    changed = {name for name, tag in fewer.hashes().items() if tag != old.hashes()[name]}
    assert changed == {VERSION_2, f"apis/{last.group}/{last.version}"} & set(fewer.hashes())
    assert not set(newer.hashes().values()) & set(old.hashes().values())


class TestTexts:
    """What people are told."""

    schemas = Schemas(load_table())

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
    def test_every_kind_has_one(self, kind: Any) -> None:
        assert self.schemas.schema(kind.definition)["description"]
        assert self.schemas.schema(kind.definition)["properties"]["metadata"]["description"]

    def test_each_is_of_a_field_that_exists(self) -> None:
        table = load_table()
        definitions = {*self.schemas.closure(table), *self.schemas._facts["leaves"]}
        full = {name.removeprefix("io.k8s.").removeprefix("api."): name for name in definitions}
        for name, texts in self.schemas._texts.items():
            if name == "*":
                continue
            known = table.fields_by_name(full[name]) if full[name] in table else {}
            assert not {field for field in texts if field and field not in known}, name


def test_facts_are_of_fields_that_exist() -> None:
    table, schemas = load_table(), Schemas(load_table())
    facts = schemas._facts
    for what in ("enums", "defaults", "bare", "required"):
        for definition, fields in facts[what].items():
            assert set(fields) <= set(table.fields_by_name(definition)), (what, definition)


def test_an_enumeration_stands_where_the_values_are() -> None:
    spec = Schemas(load_table()).schema("io.k8s.api.core.v1.PersistentVolumeClaimSpec")
    assert "ReadWriteOnce" in innermost(spec["properties"]["accessModes"])["enum"]
    assert "enum" not in spec["properties"]["accessModes"]


def test_values_are_told_where_no_text_is() -> None:
    claim = Schemas(load_table()).schema("io.k8s.api.core.v1.AzureDiskVolumeSource")
    assert claim["properties"]["cachingMode"]["description"] == "One of None, ReadOnly, ReadWrite."


def test_no_field_says_again_what_it_refers_to() -> None:
    """`kubectl explain` shows the texts of a field and of its definition, one below the other."""
    schemas = Schemas(load_table())
    definitions = schemas.closure(load_table().kinds.values())
    for definition in definitions:
        for name, schema in schemas.schema(definition).get("properties", {}).items():
            for referred in references(schema):
                text = schemas.schema(referred).get("description")
                assert text is None or schema.get("description") != text, (definition, name)
