"""Objects that upstream's API servers have stored, as this one has them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hyperkube_apiserver.storage.etcd.definitions import definition_from_v1beta1
from hyperkube_apiserver.storage.etcd.progress import tells_progress
from hyperkube_apiserver.storage.etcd.reading import readable

OURS = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"b":"c"}}'

CLIENT = {"url": "u"}


def field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


# A ConfigMap in its envelope: type, then metadata (name, uid) and data.
_TYPE = field(1, field(1, b"v1") + field(2, b"ConfigMap"))
_OBJECT = field(1, field(1, b"a") + field(5, b"u")) + field(2, field(1, b"b") + field(2, b"c"))
PROTOBUF = b"k8s\0" + _TYPE + field(2, _OBJECT)


def test_what_is_written_here_stays_as_it_is() -> None:
    assert readable(OURS) is OURS


@pytest.mark.parametrize(
    "value",
    [
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"b":"c"}}',
        b'{"data":{"b":"c"},"metadata":{"name":"a"},"kind":"ConfigMap","apiVersion":"v1"}',
        b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"a"},"data":{"b":"c"}}',
    ],
)
def test_json_in_another_order_is_put_in_this_one(value: bytes) -> None:
    assert readable(value) == OURS


def test_protobuf_is_decoded() -> None:
    found = readable(PROTOBUF)
    assert found.startswith(b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{')
    tree = orjson.loads(found)
    assert (tree["metadata"]["name"], tree["metadata"]["uid"], tree["data"]) == ("a", "u", {"b": "c"})


@pytest.mark.parametrize(
    "value",
    [b"", b"12", b"{", b'{"a":1}', b"k8s\0", b"k8s\0\xff\xff", b"k8s\0" + field(1, field(2, b"RangeAllocation"))],
)
def test_what_is_no_object_stays_as_it_is(value: bytes) -> None:
    assert readable(value) == value


def test_a_definition_of_the_old_version_is_one_of_the_new() -> None:
    schema = {"openAPIV3Schema": {"type": "object"}}
    old: dict[str, Any] = {
        "kind": "CustomResourceDefinition",
        "apiVersion": "apiextensions.k8s.io/v1beta1",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "version": "v1",
            "validation": schema,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "Size", "type": "integer", "JSONPath": ".spec.size"}],
            "versions": [{"name": "v1", "served": True, "storage": True}],
            "conversion": {
                "strategy": "Webhook",
                "webhookClientConfig": {"url": "u"},
                "conversionReviewVersions": ["v1"],
            },
            "preserveUnknownFields": False,
        },
    }
    spec = definition_from_v1beta1(old)["spec"]
    assert spec == {
        "group": "example.com",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": schema,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
            }
        ],
        "conversion": {
            "strategy": "Webhook",
            "webhook": {"clientConfig": {"url": "u"}, "conversionReviewVersions": ["v1"]},
        },
    }
    stored = orjson.dumps(old)
    assert readable(stored).startswith(b'{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1",')


@pytest.mark.parametrize(
    ("version", "tells"),
    [
        ("3.4.30", False),
        ("3.4.31", True),
        ("3.5.1", False),
        ("3.5.12", False),
        ("3.5.13", True),
        ("3.6.0", True),
        ("3.5.13-rc", True),
        ("unknown", False),
    ],
)
def test_which_versions_tell_reliably_how_far_a_watch_is(version: str, tells: bool) -> None:
    assert tells_progress(version) is tells
