"""Documents as protobuf messages, read back without the tables that wrote them."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.openapi import gnostic
from hyperkube_apiserver.openapi.documents import Documents
from hyperkube_apiserver.openapi.phrases import VERSION_2
from hyperkube_apiserver.openapi.wire import Tables, message_pieces


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        match key & 7:
            case 0:
                yield key >> 3, varint()
            case 1:
                yield key >> 3, struct.unpack_from("<d", message, at)[0]
                at += 8
            case 2:
                length = varint()
                yield key >> 3, message[at : at + length]
                at += length
            case other:
                raise AssertionError(f"wire type {other}")


def all_of(message: bytes, number: int) -> list[Any]:
    return [value for found, value in fields(message) if found == number]


def one(message: bytes, *numbers: int) -> Any:
    """What is found by following the numbers; each is there once."""
    value: Any = message
    for number in numbers:
        (value,) = all_of(value, number)
    return value


def named(message: bytes, number: int, name: str) -> bytes:
    """The value of an entry of a map."""
    (found,) = (one(entry, 2) for entry in all_of(message, number) if one(entry, 1) == name.encode())
    assert isinstance(found, bytes)
    return found


def encoded(tables: Tables, document: Any) -> bytes:
    return b"".join(message_pieces(tables, document))


@pytest.fixture(scope="module")
def documents() -> Documents:
    return Documents(load_kinds().values(), "v1.36.2")


@pytest.fixture(scope="module")
def swagger(documents: Documents) -> bytes:
    return gzip.decompress(documents.packed(VERSION_2, protobuf=True))


@pytest.fixture(scope="module")
def apps(documents: Documents) -> bytes:
    return gzip.decompress(documents.packed("apis/apps/v1", protobuf=True))


def test_version_2_has_every_definition_with_its_properties(documents: Documents, swagger: bytes) -> None:
    tree = json.loads(gzip.decompress(documents.packed(VERSION_2, protobuf=False)))
    definitions = one(swagger, 9)
    assert [one(entry, 1).decode() for entry in all_of(definitions, 1)] == list(tree["definitions"])
    for name, schema in tree["definitions"].items():
        properties = (
            [one(entry, 1).decode() for entry in all_of(one(named(definitions, 1, name), 25), 1)]
            if ("properties" in schema)
            else []
        )
        assert properties == list(schema.get("properties", {})), name


def test_version_2_tells_merge_keys_and_references(swagger: bytes) -> None:
    spec = named(one(swagger, 9), 1, "io.k8s.api.core.v1.PodSpec")
    containers = named(one(spec, 25), 1, "containers")
    assert one(containers, 22, 1) == b"array"
    assert one(containers, 23, 1, 1) == b"#/definitions/io.k8s.api.core.v1.Container"
    assert one(named(containers, 31, "x-kubernetes-patch-merge-key"), 2) == b'"name"\n'
    assert all_of(spec, 19) == [b"containers"]


def test_version_2_tells_parameters_by_where_they_are(swagger: bytes) -> None:
    item = named(one(swagger, 8), 2, "/api/v1/namespaces/{namespace}/configmaps")
    body, dry_run, manager, _ = all_of(one(item, 4), 8)
    assert one(body, 1, 1, 5, 1) == b"#/definitions/io.k8s.api.core.v1.ConfigMap"
    assert one(dry_run, 1, 2, 3, 4) == b"dryRun"
    assert one(manager, 2, 1).startswith(b"#/parameters/fieldManager-")


def test_version_3_tells_schemas_and_references_apart(apps: bytes) -> None:
    schemas = one(apps, 5, 1)
    strategy = named(one(named(schemas, 1, "io.k8s.api.apps.v1.DeploymentSpec"), 1, 31), 1, "strategy")
    assert one(strategy, 1, 26, 2, 1) == b"#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"
    assert one(strategy, 1, 33) == b"", "an object has no field in a default"
    protocol = named(one(named(schemas, 1, "io.k8s.api.core.v1.ContainerPort"), 1, 31), 1, "protocol")
    assert one(protocol, 1, 33, 3) == b"TCP"
    assert [one(value, 2) for value in all_of(one(protocol, 1), 24)] == [b'"SCTP"\n', b'"TCP"\n', b'"UDP"\n']


def test_version_3_tells_answers_by_their_codes(apps: bytes) -> None:
    item = named(one(apps, 4), 1, "/apis/apps/v1/namespaces/{namespace}/deployments")
    created = named(one(item, 6, 8), 2, "201")
    content = named(one(created, 1, 3), 1, "application/json")
    assert one(content, 1, 2, 1) == b"#/components/schemas/io.k8s.api.apps.v1.Deployment"
    assert one(item, 6, 7, 1, 3) == 1, "the body is required"


def test_limits_and_free_forms_of_schemas_have_their_fields() -> None:
    schema = {
        "type": "object",
        "minimum": 0.5,
        "maxLength": 300,
        "additionalProperties": True,
        "not": {"nullable": True},
        "default": {"a": 1},
    }
    message = encoded(gnostic.VERSION_3, {"components": {"schemas": {"a": schema}}})
    inner = one(named(one(message, 5, 1), 1, "a"), 1)
    assert one(inner, 13) == 0.5
    assert one(inner, 15) == 300
    assert one(inner, 32, 2) == 1
    assert one(inner, 29, 1) == 1
    message = encoded(gnostic.VERSION_2, {"definitions": {"a": {"default": {"a": 1}, "enum": [1, None]}}})
    inner = named(one(message, 9), 1, "a")
    assert one(inner, 5, 2) == b'{"a":1}\n'
    assert [one(value, 2) for value in all_of(inner, 20)] == [b"1\n", b"null\n"]
