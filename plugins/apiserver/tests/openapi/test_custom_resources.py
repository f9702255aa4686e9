"""Custom resources are told of as by kube-apiserver 1.36 (`data/customopenapi.json`, without what people are told)."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from hyperkube_apiserver.crd.schema import CustomSchema
from hyperkube_apiserver.customresources.described import kinds_of
from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.openapi.custommodels import CustomModel
from hyperkube_apiserver.openapi.documents import Documents
from hyperkube_apiserver.openapi.phrases import VERSION_2

RECORDED = orjson.loads((Path(__file__).parents[1] / "data" / "customopenapi.json").read_bytes())
Tree = dict[str, Any]


def documents(definitions: list[Tree]) -> Documents:
    models = []
    for definition in definitions:
        accepted = {**definition, "status": {"acceptedNames": definition["spec"]["names"]}}
        models += [
            CustomModel(kind, CustomSchema.of(accepted, kind.resource.version)) for kind in kinds_of(accepted)[1]
        ]
    return Documents(load_kinds().values(), "v1.36.2", models=models)


def document(name: str, definitions: list[Tree]) -> Tree:
    packed = documents(definitions).packed(name, protobuf=False)
    tree: Tree = orjson.loads(zlib.decompress(packed, 16 + zlib.MAX_WBITS))
    return tree


def comparable(tree: Any) -> Any:
    """`tree` without descriptions, and with references to parameters that say their names alone."""
    if isinstance(tree, list):
        several = [comparable(item) for item in tree]
        return sorted(several) if all(isinstance(item, str) for item in several) else several
    if not isinstance(tree, dict):
        return tree
    if str(tree.get("$ref", "")).startswith("#/parameters/"):
        return {"$ref": tree["$ref"].removeprefix("#/parameters/").partition("-")[0]}
    return {
        key: comparable(value) for key, value in tree.items() if not (key == "description" and isinstance(value, str))
    }


def told(tree: Tree, recorded: Tree) -> Tree:
    return {name: comparable(value) for name, value in tree.items() if name in recorded}


@pytest.mark.parametrize("name", RECORDED["version3"])
def test_version_3_has_a_document_for_each_of_their_versions(name: str) -> None:
    made, recorded = document(name, RECORDED["definitions"]), RECORDED["version3"][name]
    assert told(made["paths"], recorded["paths"]) == comparable(recorded["paths"])
    assert told(made["components"]["schemas"], recorded["schemas"]) == comparable(recorded["schemas"])
    assert made["paths"].keys() == recorded["paths"].keys()
    assert made["info"]["title"] == "Kubernetes CRD Swagger"


def test_version_2_tells_of_them_among_all_others() -> None:
    made, recorded = document(VERSION_2, RECORDED["definitions"]), RECORDED["version2"]
    assert told(made["paths"], recorded["paths"]) == comparable(recorded["paths"])
    assert told(made["definitions"], recorded["definitions"]) == comparable(recorded["definitions"])
    assert "/api/v1/namespaces/{namespace}/pods" in made["paths"]


def _described(definition: Tree) -> None:
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "Another."


def _named(definition: Tree) -> None:
    definition["spec"]["names"]["listKind"] = "Others"


@pytest.mark.parametrize("change", [_described, _named])
def test_a_changed_definition_has_another_hash_and_its_neighbours_the_old(change: Callable[[Tree], None]) -> None:
    definitions = copy.deepcopy(RECORDED["definitions"])
    before = documents(definitions).hashes()
    change(definitions[0])
    after = documents(definitions).hashes()
    assert {name for name in before if before[name] != after[name]} == {VERSION_2, "apis/c.example.com/v1"}


def test_documents_of_custom_resources_exist_in_protobuf() -> None:
    assert documents(RECORDED["definitions"]).packed("apis/c.example.com/v1", protobuf=True)
