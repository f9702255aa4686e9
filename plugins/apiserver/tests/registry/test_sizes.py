"""Limits on sizes that would make tables of rules too long to read."""

from __future__ import annotations

from typing import Any

import pytest

Tree = dict[str, Any]

CLASS = {"metadata": {"name": "a"}, "provisioner": "example.com/p"}
ATTRIBUTES = {"metadata": {"name": "a"}, "driverName": "example.com"}
SLICE = {"metadata": {"name": "a"}, "addressType": "IPv4"}
JOB = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
ATTACHMENT = {
    "metadata": {"name": "a"},
    "spec": {"attacher": "example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
}


@pytest.mark.parametrize(
    ("group", "resource", "given", "message"),
    [
        ("", "configmaps", {"metadata": {"name": "a"}, "data": {"a": "x" * ((1 << 20) + 1)}}, "1048576 bytes"),
        ("", "configmaps", {"metadata": {"name": "a"}, "data": {"a": "x" * (1 << 20)}}, None),
        ("", "secrets", {"metadata": {"name": "a"}, "stringData": {"a": "x" * ((1 << 20) + 1)}}, "1048576 bytes"),
        ("", "secrets", {"metadata": {"name": "a"}, "stringData": {"a": "x" * (1 << 20)}}, None),
        ("", "configmaps", {"metadata": {"name": "a", "annotations": {"a": "x" * (256 << 10)}}}, "262144 bytes"),
        ("", "configmaps", {"metadata": {"name": "a", "annotations": {"a": "x" * ((256 << 10) - 1)}}}, None),
        ("storage.k8s.io", "storageclasses", {**CLASS, "parameters": {"a": "x" * (256 << 10)}}, "262144 bytes"),
        ("storage.k8s.io", "storageclasses", {**CLASS, "parameters": {"a": "x" * ((256 << 10) - 1)}}, None),
        ("storage.k8s.io", "storageclasses", {**CLASS, "parameters": {f"k{i}": "" for i in range(513)}}, "512 bytes"),
        ("storage.k8s.io", "storageclasses", {**CLASS, "parameters": {f"k{i}": "" for i in range(512)}}, None),
        (
            *("storage.k8s.io", "volumeattributesclasses"),
            {**ATTRIBUTES, "parameters": {"a": "x" * (256 << 10)}},
            "262144 bytes",
        ),
        (
            *("discovery.k8s.io", "endpointslices"),
            {**SLICE, "endpoints": [{"addresses": ["10.0.0.1"]}] * 1001},
            "at most 1000 items",
        ),
        ("discovery.k8s.io", "endpointslices", {**SLICE, "endpoints": [{"addresses": ["10.0.0.1"]}] * 1000}, None),
        (
            *("discovery.k8s.io", "endpointslices"),
            {**SLICE, "ports": [{"name": f"p{i}"} for i in range(20001)]},
            "at most 20000 items",
        ),
    ],
)
def test_what_is_too_large_is_refused(writer: Any, group: str, resource: str, given: Tree, message: str | None) -> None:
    _, errors = writer.create(writer.strategy(resource, group), given)
    assert [error.message.endswith(str(message)) for error in errors] == ([] if message is None else [True])


def test_what_an_attachment_tells_of_itself_has_a_limit(writer: Any) -> None:
    strategy = writer.strategy("volumeattachments", "storage.k8s.io")
    stored, _ = writer.create(strategy, ATTACHMENT)
    told = {**stored, "status": {"attached": True, "attachmentMetadata": {"a": "x" * (256 << 10)}}}
    _, errors = writer.update(strategy, stored, told, "status")
    assert [(error.field, error.message) for error in errors] == [
        ("status.attachmentMetadata", "Too long: may not be more than 262144 bytes")
    ]


def test_indexes_that_make_a_job_succeed_have_a_limit(writer: Any) -> None:
    indexes = ",".join(str(index) for index in range(0, 28000, 2))
    spec = {**JOB, "completionMode": "Indexed", "completions": 28000, "parallelism": 1}
    spec["successPolicy"] = {"rules": [{"succeededIndexes": indexes}]}
    _, errors = writer.create(writer.strategy("jobs", "batch"), {"metadata": {"name": "j"}, "spec": spec})
    assert [(error.field, error.message) for error in errors] == [
        ("spec.successPolicy.rules[0].succeededIndexes", "Too long: may not be more than 65536 bytes")
    ]
