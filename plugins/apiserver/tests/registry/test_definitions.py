"""What becomes of definitions of custom resources beside their rules."""

from __future__ import annotations

import copy
from base64 import b64encode
from typing import Any

from hyperkube_machinery import meta

KIND = "customresourcedefinitions", "apiextensions.k8s.io"
SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"n": {"type": "integer"}}}}}
VERSION = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}
GIVEN = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [VERSION],
    },
}
ESTABLISHED = {
    "type": "Established",
    "status": "True",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "reason": "InitialNamesAccepted",
    "message": "",
}


def made(writer: Any, **spec: Any) -> dict[str, Any]:
    given: dict[str, Any] = copy.deepcopy(GIVEN)
    given["spec"].update(spec)
    tree, errors = writer.create(writer.strategy(*KIND), given)
    assert errors == []
    return dict(tree)


def established(writer: Any, **spec: Any) -> dict[str, Any]:
    tree = made(writer, **spec)
    tree["status"]["conditions"] = [ESTABLISHED]
    return tree


def change(writer: Any, old: dict[str, Any], **spec: Any) -> tuple[dict[str, Any], dict[str, str]]:
    given = copy.deepcopy(old)
    given["spec"].update(spec)
    tree, errors = writer.update(writer.strategy(*KIND), old, given)
    return tree, {error.field: error.message for error in errors}


def with_schema(**schema: Any) -> list[dict[str, Any]]:
    return [{**VERSION, "schema": {"openAPIV3Schema": {**SCHEMA, **schema}}}]


def test_scope_and_kind_are_fixed_once_resources_are_served(writer: Any) -> None:
    old = established(writer)
    names = {**old["spec"]["names"], "kind": "Other"}
    _, told = change(writer, old, scope="Cluster", names=names)
    assert told == {
        "spec.scope": 'Invalid value: "Cluster": field is immutable',
        "spec.names.kind": 'Invalid value: "Other": field is immutable',
    }


def test_a_new_storage_version_is_remembered(writer: Any) -> None:
    old = made(writer)
    versions = [{**VERSION, "storage": False}, {**VERSION, "name": "v2"}]
    tree, told = change(writer, old, versions=versions)
    assert told == {}
    assert tree["status"]["storedVersions"] == ["v1", "v2"]
    assert meta.generation(tree) == 2


def test_the_authority_of_a_served_webhook_must_be_a_certificate(writer: Any) -> None:
    client = {"url": "https://127.0.0.1:9/", "caBundle": b64encode(b"none").decode()}
    conversion = {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}
    assert made(writer, conversion=conversion)  # nobody asks it yet
    _, told = change(writer, established(writer), conversion=conversion)
    why = "unable to load root certificates: unable to parse bytes as PEM block"
    assert told == {"spec.conversion.webhookClientConfig.caBundle": f'Invalid value: "bm9uZQ==": {why}'}
    _, told = change(writer, established(writer, conversion=conversion), scope="Namespaced")
    assert told == {}


def test_a_status_subresource_leaves_the_root_of_the_schema_little_to_say(writer: Any) -> None:
    given: dict[str, Any] = copy.deepcopy(GIVEN)
    given["spec"]["versions"] = with_schema(minProperties=1)
    given["spec"]["versions"][0]["subresources"] = {"status": {}}
    _, errors = writer.create(writer.strategy(*KIND), given)
    assert [error.field for error in errors] == ["spec.validation.openAPIV3Schema"]
    assert errors[0].message.startswith(
        'Invalid value: {"ID":"","Schema":"","Ref":null,"Description":"","Type":"object"'
    )
    assert errors[0].message.endswith(
        "UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] "
        "fields are allowed at the root of the schema if the status subresource is enabled"
    )


def test_what_a_stored_definition_does_not_come_up_to_may_stay(writer: Any) -> None:
    old = made(writer)
    broken = {"a": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}}
    old["spec"]["versions"] = with_schema(properties={**SCHEMA["properties"], **broken})  # type: ignore[dict-item]
    _, told = change(writer, old, names={**old["spec"]["names"], "shortNames": ["wd"]})
    assert told == {}


def test_unknown_formats_are_warned_of_once(writer: Any) -> None:
    strategy = writer.strategy(*KIND)
    odd = {"a": {"type": "string", "format": "x-odd"}, "b": {"type": "string", "format": "date-time"}}
    tree = made(writer, versions=with_schema(properties=odd))
    assert strategy.warnings(tree) == ['unrecognized format "x-odd"']
    assert strategy.warnings(tree, tree) == []
