"""Whose credentials an image is pulled with, and who may use it then."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.images.dockerconfig import (
    Account,
    Credential,
    Entry,
    Keyring,
    Secret,
    matches,
    node_entries,
    read_entries,
    secret_entries,
)
from hyperkube_kubelet.images.pullrecords import PullRecords, Verification, name_alone, remembered, usable
from hyperkube_kubelet.runtime.values import Credentials, Image

OWN = Secret("u1", "default", "pull")
OTHER = Secret("u2", "other", "pull")


def credential(password: str, source: Secret | Account | None = None) -> Credential:
    return Credential(Credentials(username="me", password=password), source)


def ring(*places: str) -> Keyring:
    return Keyring(Entry(place, credential(place)) for place in places)


@pytest.mark.parametrize(
    ("pattern", "repository", "found"),
    [
        ("registry.example", "registry.example/team/app", True),
        ("registry.example", "registry.example:5000/app", False),
        ("registry.example:5000", "registry.example:5000/app", True),
        ("*.example", "registry.example/app", True),
        ("*.example", "a.registry.example/app", False),
        ("reg*.example", "registry.example/app", True),
        ("registry.example/team", "registry.example/team/app", True),
        ("registry.example/team", "registry.example/other/app", False),
        ("*", "registry.example/app", False),
    ],
)
def test_places_match_as_upstreams_do(pattern: str, repository: str, found: bool) -> None:
    assert matches(pattern, repository) is found


@pytest.mark.parametrize(
    ("places", "repository", "found"),
    [
        (
            ("https://registry.example/v1/", "registry.example/team", "other.example"),
            "registry.example/team/app",
            ["registry.example/team", "https://registry.example/v1/"],
        ),
        (("https://index.docker.io/v1/",), "docker.io/library/busybox", ["https://index.docker.io/v1/"]),
        (("https://index.docker.io/v1/",), "registry.example/app", []),
        (("http://registry.example", "https://[bad"), "registry.example/app", ["http://registry.example"]),
    ],
)
def test_the_most_specific_is_tried_first(places: tuple[str, ...], repository: str, found: list[str]) -> None:
    assert [one.credentials.password for one in ring(*places).lookup(repository)] == found


def test_files_are_read_in_both_forms() -> None:
    auth = base64.b64encode(b"me:a:b").decode()
    [entry] = read_entries(json.dumps({"auths": {"r.example": {"auth": auth.rstrip("=")}}}).encode(), legacy=False)
    assert (entry.credential.credentials.username, entry.credential.credentials.password) == ("me", "a:b")
    plain = {"r.example": {"username": "me", "password": "x"}}
    [entry] = read_entries(json.dumps(plain).encode(), legacy=True, source=OWN)
    assert entry.credential.source == OWN


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b'{"auths": {"a": {"auth": "%%"}}}', b'{"auths": {"a": {"auth": "bWU="}}}']
)
def test_what_is_broken_is_told_without_what_it_holds(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"it is no config\.json that holds credentials") as caught:
        read_entries(data, legacy=False)
    assert "bWU" not in str(caught.value)


def test_secrets_of_the_right_kinds_count() -> None:
    def secret(kind: str, key: str, document: Any) -> dict[str, Any]:
        data = {key: base64.b64encode(json.dumps(document).encode()).decode()}
        return {"metadata": {"uid": "u", "namespace": "n", "name": kind}, "type": f"kubernetes.io/{kind}", "data": data}

    auths = {"r.example": {"username": "me", "password": "x"}}
    found = secret_entries(
        [
            secret("dockerconfigjson", ".dockerconfigjson", {"auths": auths}),
            secret("dockercfg", ".dockercfg", auths),
            secret("Opaque", ".dockercfg", auths),
            secret("dockercfg", ".dockerconfigjson", {"auths": auths}),
        ]
    )
    assert [entry.credential.source.name for entry in found if entry.credential.source] == [
        "dockerconfigjson",
        "dockercfg",
    ]
    with pytest.raises(ValueError, match=r"secret n/dockercfg: it is no \.dockercfg"):
        secret_entries([secret("dockercfg", ".dockercfg", [1])])


def test_the_nodes_own_is_the_first_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".docker").mkdir(parents=True)
    auths = {"auths": {"r.example": {"username": "home", "password": "x"}}}
    (tmp_path / "home" / ".docker" / "config.json").write_text(json.dumps(auths))
    (tmp_path / "config.json").write_text("broken")
    [entry] = node_entries([tmp_path])
    assert entry.credential.credentials.username == "home"
    assert entry.credential.source is None


# Records


def record_of(*used: Credential | None, image: str = "r.example/app:1") -> Any:
    record: Any = None
    for one in used:
        record = remembered(record, "sha256:1", image, one, 1.0) or record
    return record


@pytest.mark.parametrize(
    ("used", "asked", "image", "found"),
    [
        ([None], [], "r.example/app:2", True),
        ([credential("a")], [], "r.example/app:1", True),  # the node's own
        ([credential("a", OWN)], [], "r.example/app:1", False),
        ([credential("a", OWN)], [credential("a", OWN)], "r.example/app@sha256:" + "0" * 64, True),
        ([credential("a", OWN)], [credential("a", OTHER)], "r.example/app:1", True),  # the same credentials
        ([credential("a", OWN)], [credential("b", OWN)], "r.example/app:1", True),  # the same secret, renewed
        ([credential("a", OWN)], [credential("b", OTHER)], "r.example/app:1", False),
        ([credential("a", OWN)], [credential("a", OWN)], "r.example/another:1", False),
        ([credential("a", Account("u", "n", "a"))], [credential("x", Account("u", "n", "a"))], "r.example/app:1", True),
        (
            [credential("a", Account("u", "n", "a"))],
            [credential("a", Account("v", "n", "a"))],
            "r.example/app:1",
            False,
        ),
        ([credential("a", OWN), credential("b", OTHER)], [credential("b", OTHER)], "r.example/app:1", True),
        ([credential("a", OWN), None], [], "r.example/app:1", True),
    ],
)
def test_who_may_use_what_was_pulled(
    used: list[Credential | None], asked: list[Credential], image: str, found: bool
) -> None:
    assert usable(record_of(*used), image, asked) is found


def test_nothing_is_written_twice() -> None:
    record = record_of(credential("a", OWN))
    assert remembered(record, "sha256:1", "r.example/app:9", credential("a", OWN), 2.0) is None
    assert remembered(record_of(None), "sha256:1", "r.example/app:1", credential("a", OWN), 2.0) is None
    renewed = remembered(record, "sha256:1", "r.example/app:1", credential("b", OWN), 2.0)
    assert renewed is not None
    assert len(renewed["credentialMapping"]["r.example/app"]["kubernetesSecrets"]) == 1


@pytest.mark.parametrize(
    ("policy", "image", "pulled", "required"),
    [
        ("NeverVerify", "a/b:1", True, False),
        ("NeverVerifyPreloadedImages", "a/b:1", True, True),
        ("NeverVerifyPreloadedImages", "a/b:1", False, False),
        ("NeverVerifyAllowlistedImages", "r.example/team/app:1", True, False),
        ("NeverVerifyAllowlistedImages", "r.example/one@sha256:" + "0" * 64, True, False),
        ("NeverVerifyAllowlistedImages", "r.example/ones:1", False, True),
        ("AlwaysVerify", "a/b:1", False, True),
    ],
)
def test_policies(policy: str, image: str, pulled: bool, required: bool) -> None:
    verification = Verification(policy, ["r.example/team/*", "r.example/one"])
    assert verification.requires(image, pulled=pulled) is required


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (" a", "leading/trailing spaces"),
        ("", "too short"),
        ("a*b", "not a valid wildcard pattern"),
        ("/*", "at least registry hostname"),
        ("a/b:1", "neither tag nor digest"),
    ],
)
def test_patterns_that_are_none(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Verification("NeverVerifyAllowlistedImages", [pattern])


def test_names_without_tags() -> None:
    names = ["app", "r.example:5000/app", "r.example:5000/app:1", "app:1@sha256:" + "0" * 64]
    assert [name_alone(name) for name in names] == ["app", "r.example:5000/app", "r.example:5000/app", "app"]


def test_an_image_that_a_pull_brought_is_known_by_it(tmp_path: Path) -> None:
    records = PullRecords(tmp_path)
    assert not records.was_pulled("app:1", "sha256:1")
    records.begin("app:1")
    records.begin("app:1")
    records.end("app:1")
    assert records.was_pulled("app:1", "sha256:1")  # another is under way
    records.note("app:1", "sha256:1", credential("a", OWN), 1.0)
    records.end("app:1")
    assert records.was_pulled("app:1", "sha256:1")
    assert list((tmp_path / "pulling").iterdir()) == []
    assert usable(PullRecords(tmp_path).record("sha256:1"), "app:1", [credential("a", OWN)])


def test_a_pull_whose_end_nobody_saw_is_nobodys_to_use(tmp_path: Path) -> None:
    PullRecords(tmp_path).begin("r.example/app:1")
    records = PullRecords(tmp_path)
    assert records.was_pulled("r.example/app:1", "sha256:1")
    records.adopt([Image(id="sha256:1", tags=("r.example/app:1",), digests=(), size=1)], 1.0)
    assert list((tmp_path / "pulling").iterdir()) == []
    assert records.was_pulled("r.example/app:1", "sha256:1")
    assert not usable(records.record("sha256:1"), "r.example/app:1", [credential("a", OWN)])


def test_records_of_images_that_are_gone_go(tmp_path: Path) -> None:
    records = PullRecords(tmp_path)
    for number in (1, 2, 3):
        records.note("app:1", f"sha256:{number}", None, float(number))
    records.forget(["sha256:1"], "1970-01-01T00:00:03Z")
    assert [records.record(f"sha256:{number}") is not None for number in (1, 2, 3)] == [True, False, True]


def test_a_record_that_cant_be_read_says_that_it_was_pulled(tmp_path: Path) -> None:
    records = PullRecords(tmp_path)
    records.note("app:1", "sha256:1", None, 1.0)
    [file] = (tmp_path / "pulled").iterdir()
    file.write_text("{")
    assert records.record("sha256:1") is None
    assert records.was_pulled("app:1", "sha256:1")
