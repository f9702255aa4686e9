"""Policies in a file, one to a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.authz import ResourceAttributes
from hyperkube_apiserver.authz.abac import ABAC, PolicyFileError
from hyperkube_machinery.identity import AUTHENTICATED, UNAUTHENTICATED, Identity

ALICE = Identity("alice", groups=("dev", AUTHENTICATED))
NOBODY = Identity("system:anonymous", groups=(UNAUTHENTICATED,))


def policies(path: Path, *lines: Any) -> ABAC:
    file = path / "policies.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return ABAC.load(file)


def policy(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": spec}


def pods(verb: str = "get", namespace: str = "ns", group: str = "") -> ResourceAttributes:
    return ResourceAttributes(verb=verb, resource="pods", namespace=namespace, group=group)


def path(what: str, verb: str = "get") -> ResourceAttributes:
    return ResourceAttributes(verb=verb, resource="", is_resource=False, path=what)


EVERYTHING = {"namespace": "*", "resource": "*", "apiGroup": "*"}


@pytest.mark.parametrize(
    ("line", "who", "asked", "allowed"),
    [
        (policy(user="alice", **EVERYTHING), ALICE, pods("delete"), True),
        (policy(user="bob", **EVERYTHING), ALICE, pods(), False),
        (policy(group="dev", **EVERYTHING), ALICE, pods(), True),
        (policy(user="alice", group="ops", **EVERYTHING), ALICE, pods(), False),
        (policy(user="*", **EVERYTHING), ALICE, pods(), True),
        (policy(user="*", **EVERYTHING), NOBODY, pods(), False),
        (policy(group="system:unauthenticated", **EVERYTHING), NOBODY, pods(), True),
        (policy(**EVERYTHING), ALICE, pods(), False),
        (policy(user="alice", readonly=True, **EVERYTHING), ALICE, pods("watch"), True),
        (policy(user="alice", readonly=True, **EVERYTHING), ALICE, pods("create"), False),
        (policy(user="alice", namespace="ns", resource="pods"), ALICE, pods(), True),
        (policy(user="alice", namespace="ns", resource="pods"), ALICE, pods(namespace="other"), False),
        (policy(user="alice", namespace="ns", resource="pods"), ALICE, pods(group="metrics.k8s.io"), False),
        (policy(user="alice", **EVERYTHING), ALICE, path("/healthz"), False),
        (policy(user="alice", nonResourcePath="/healthz"), ALICE, path("/healthz"), True),
        (policy(user="alice", nonResourcePath="/api*"), ALICE, path("/apis/x"), True),
        (policy(user="alice", nonResourcePath="*"), ALICE, pods(), False),
        ({"user": "alice"}, ALICE, pods("delete", group="apps"), True),
        ({"user": "alice"}, ALICE, path("/x"), True),
        ({"user": "alice", "resource": "pods"}, ALICE, path("/x"), False),
        ({}, ALICE, pods(), True),
        ({}, NOBODY, pods(), False),
    ],
)
def test_policies_allow(tmp_path: Path, line: Any, who: Identity, asked: ResourceAttributes, allowed: bool) -> None:
    decision = policies(tmp_path, line).authorize(who, asked)
    assert decision.allowed is allowed
    assert not decision.denied, "the next authorizer is asked"
    assert allowed or decision.reason == "No policy matched."


def test_blank_lines_and_comments_are_passed_over(tmp_path: Path) -> None:
    assert policies(tmp_path, "# first", "", "  ", policy(user="alice", **EVERYTHING)).authorize(ALICE, pods()).allowed


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2"),
        ("[]", "it is no JSON object"),
        ({"apiVersion": "v1", "kind": "Pod"}, "it is a Pod of v1"),
        (policy(user=7), "user must be a string"),
        (policy(readonly="yes"), "readonly must be true or false"),
    ],
)
def test_a_bad_line_is_told_by_its_number(tmp_path: Path, line: Any, reason: str) -> None:
    with pytest.raises(PolicyFileError, match=reason) as caught:
        policies(tmp_path, "", line)
    assert "line 2" in str(caught.value)


def test_what_is_allowed_is_listed(tmp_path: Path) -> None:
    listed = policies(
        tmp_path,
        policy(user="alice", namespace="ns", resource="pods", readonly=True),
        policy(user="alice", namespace="other", resource="pods"),
        policy(user="alice", namespace="*", nonResourcePath="/x"),
    ).rules_for(ALICE, "ns")
    assert [rule.tree() for rule in listed.rules] == [
        {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["*"], "nonResourceURLs": ["/x"]},
    ]
