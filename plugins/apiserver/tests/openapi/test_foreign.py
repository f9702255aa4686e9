"""Documents of others among this server's."""

from __future__ import annotations

from typing import Any

import orjson

from hyperkube_apiserver.openapi.foreign import Foreign, merged

REFERENCE = "#/definitions/"


def foreign(definitions: dict[str, Any], **paths: str) -> Foreign:
    document = {
        "paths": {
            path.replace("_", "/"): {"get": {"schema": {"$ref": REFERENCE + name}}} for path, name in paths.items()
        },
        "definitions": definitions,
    }
    return Foreign(b"", Foreign.pack(orjson.dumps(document)))


def own(**definitions: Any) -> dict[str, Any]:
    return {
        "swagger": "2.0",
        "paths": iter([("/api/", {})]),
        "definitions": iter(definitions.items()),
        "parameters": {},
    }


def test_only_what_the_group_version_needs_is_taken() -> None:
    definitions = {"Fruit": {"items": [{"$ref": REFERENCE + "Seed"}]}, "Seed": {}, "Stone": {}}
    document = merged(
        own(Pod={}), ["Pod"], {"apis/g/v1": foreign(definitions, _apis_g_v1_fruits="Fruit", _apis_g_v10="Stone")}
    )
    assert dict(document["paths"]).keys() == {"/api/", "/apis/g/v1/fruits"}
    assert dict(document["definitions"]).keys() == {"Pod", "Fruit", "Seed"}


def test_definitions_of_one_name_are_told_apart() -> None:
    definitions = {"Meta": {"own": False, "next": {"$ref": REFERENCE + "Meta"}}}
    others = {
        name: foreign(definitions, **{f"_{name.replace('/', '_')}_x": "Meta"}) for name in ("apis/g/v1", "apis/h/v1")
    }
    document = merged(own(Meta={"own": True}), ["Meta"], others)
    found = dict(document["definitions"])
    assert found.keys() == {"Meta", "Meta_v2", "Meta_v3"}
    assert found["Meta"] == {"own": True}
    assert found["Meta_v3"]["next"] == {"$ref": REFERENCE + "Meta_v3"}
    assert dict(document["paths"])["/apis/h/v1/x"]["get"]["schema"] == {"$ref": REFERENCE + "Meta_v3"}


def test_a_document_that_can_t_be_read_is_empty() -> None:
    broken = Foreign(Foreign.pack(b"<html>"), Foreign.pack(b"[1]"))
    assert broken.version_3() == broken.version_2() == {}
    assert broken.tag != Foreign(b"", b"").tag
