"""Which representation a client gets for what it accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.printers import (
    JSON,
    PROTOBUF,
    Form,
    Representation,
    check_form,
    error_media_type,
    negotiate,
    negotiate_document,
)
from hyperkube_apiserver.printers.negotiation import parse_accept
from hyperkube_machinery.errors import APIError

RECORDED = json.loads((Path(__file__).parent / "data" / "negotiation.json").read_text())
CONFIG_MAPS = load_kinds()[("", "v1", "configmaps")]
META = "v=v1;g=meta.k8s.io"


@pytest.mark.parametrize("case", RECORDED, ids=[f"{case['accept']} {case['collection']}" for case in RECORDED])
def test_what_is_accepted_is_answered_as_recorded(case: dict[str, Any]) -> None:
    def answer() -> Representation:
        found = negotiate(case["accept"])
        check_form(found.form, CONFIG_MAPS, lists=case["collection"])
        return found

    if case["status"] == 406:
        with pytest.raises(APIError) as refused:
            answer()
        assert refused.value.status == case["error"]
        return
    found = answer()
    assert found.media_type == case["content_type"]
    if case["status"] == 200 and found.form is not Form.OBJECT:
        assert (found.form.value, f"meta.k8s.io/{found.version}") == (case["kind"], case["api_version"])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("application/yaml", Representation("application/yaml")),
        ("application/yaml;q=0.9, application/json;q=0.8", Representation("application/yaml")),
        # what kubectl and controller-runtime send
        (
            f"application/json;as=Table;{META},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Representation("application/json", Form.TABLE),
        ),
        (
            f"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;{META},"
            f"application/json;as=PartialObjectMetadata;{META},application/json",
            Representation("application/vnd.kubernetes.protobuf", Form.METADATA),
        ),
        ("application/vnd.kubernetes.protobuf,application/json", Representation(PROTOBUF)),
        ("application/json,application/vnd.kubernetes.protobuf", JSON),
        ("application/vnd.kubernetes.protobuf;q=0.1,application/json", JSON),
        ("application/vnd.kubernetes.protobuf;stream=watch", Representation(PROTOBUF)),
        (
            f"application/vnd.kubernetes.protobuf;as=Table;{META},application/json;as=Table;{META}",
            Representation("application/json", Form.TABLE),
        ),
        ("application/json;stream=watch", JSON),
        ("application/json;pretty=1", Representation("application/json", pretty=True)),
        (f"application/json;as=Bogus;{META},application/yaml", Representation("application/yaml")),
        ("application/json;as=Table;v=v1;g=other,application/json", JSON),
        ("application/json;stream=other,application/yaml", Representation("application/yaml")),
        ("application/json;sv=v1,application/yaml", Representation("application/yaml")),
        # upstream's order puts what is named before a wildcard, whatever its quality
        ("*/*;q=1,application/yaml;q=0.1", Representation("application/yaml")),
    ],
)
def test_the_best_acceptable_representation_is_chosen(header: str, expected: Representation) -> None:
    assert negotiate(header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/vnd.kubernetes.protobuf,application/json", JSON),
        ("application/vnd.kubernetes.protobuf,application/yaml", Representation("application/yaml")),
        (
            f"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;{META},application/json",
            Representation(PROTOBUF, Form.METADATA),
        ),
    ],
)
def test_of_custom_resources_protobuf_has_the_metadata_alone(header: str, expected: Representation) -> None:
    assert negotiate(header, routed=False) == expected


@pytest.mark.parametrize(
    ("header", "routed"),
    [(PROTOBUF, False), (f"{PROTOBUF};as=Table;{META}", True), (f"{PROTOBUF};as=Table;{META}", False)],
)
def test_what_has_no_message_is_not_answered_in_protobuf(header: str, routed: bool) -> None:
    with pytest.raises(APIError) as refused:
        negotiate(header, routed=routed)
    assert refused.value.code == 406
    assert str(refused.value) == (
        "only the following media types are accepted: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


def test_a_document_has_no_other_form() -> None:
    assert negotiate_document(f"{PROTOBUF},application/json", routed=True) == PROTOBUF
    assert negotiate_document(f"application/json;as=Table;{META},application/yaml", routed=True) == "application/yaml"
    assert negotiate_document("application/*", routed=False) == "application/json"
    for header, routed in (("application/*", True), ("text/plain", False), (f"{PROTOBUF};as=Table;{META}", True)):
        with pytest.raises(APIError):
            negotiate_document(header, routed=routed)


def test_a_refusal_is_in_protobuf_for_who_reads_it() -> None:
    assert error_media_type(f"{PROTOBUF},application/json") == PROTOBUF
    assert error_media_type(f"{PROTOBUF};as=PartialObjectMetadata;{META}") == "application/json"


def test_a_stream_is_json() -> None:
    assert negotiate("application/json;stream=watch,application/yaml", lists=True, watch=True) == JSON
    with pytest.raises(APIError) as refused:
        negotiate("application/yaml", lists=True, watch=True)
    assert str(refused.value) == (
        "only the following media types are accepted: "
        "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    )


def test_a_collection_offers_streams_as_well() -> None:
    with pytest.raises(APIError) as refused:
        negotiate("text/plain", lists=True)
    assert str(refused.value).endswith(
        "application/vnd.kubernetes.protobuf, application/json;stream=watch, "
        "application/vnd.kubernetes.protobuf;stream=watch"
    )


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ("application/yaml", "application/yaml"),
        (f"application/json;as=Table;{META},application/yaml", "application/yaml"),
        (f"application/json;as=Table;{META}", "application/json"),
        ("text/plain", "application/json"),
        ("", "application/json"),
    ],
)
def test_a_refusal_always_has_a_form(header: str, media_type: str) -> None:
    assert error_media_type(header) == media_type


def test_malformed_clauses_are_left_out() -> None:
    clauses = parse_accept("a, b/, c/d/e, /, *, x/y;q=zz, x/z;q=0.5;k=v;bad;worse=1=2")
    assert [(one.type, one.subtype, one.quality, dict(one.parameters)) for one in clauses] == [
        ("x", "z", 0.5, {"k": "v"}),
        ("x", "y", 0.0, {}),
        ("*", "*", 1.0, {}),
    ]
