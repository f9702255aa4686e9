"""Audit policies: which rule decides, and what is wrong with a file, in upstream's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperkube_apiserver.audit.policy import PolicyError, read_policy
from hyperkube_apiserver.requestinfo import parse_query, request_info
from hyperkube_machinery.identity import Identity

HEAD = "kind: Policy\napiVersion: audit.k8s.io/v1\n"
JANE = Identity("jane", groups=("developers", "system:authenticated"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


@pytest.mark.parametrize(
    ("rule", "requests", "others"),
    [
        ("users: [jane]", ["GET /api/v1/pods"], []),
        ("users: [joe]", [], ["GET /api/v1/pods"]),
        ("userGroups: [developers, others]", ["GET /version"], []),
        ("userGroups: [others]", [], ["GET /version"]),
        ("verbs: [list, deletecollection]", ["GET /api/v1/pods", "DELETE /api/v1/namespaces/n/pods"], ["GET /version"]),
        (
            "namespaces: [ns]",
            ["GET /api/v1/namespaces/ns/pods", "GET /api/v1/namespaces/ns"],
            ["GET /api/v1/pods", "GET /n"],
        ),
        ('namespaces: [""]', ["GET /api/v1/nodes", "GET /api/v1/pods"], ["GET /api/v1/namespaces/n/pods"]),
        (
            'resources: [{group: "", resources: [pods]}]',
            ["GET /api/v1/pods"],
            ["GET /api/v1/namespaces/n/pods/p/log", "GET /apis/metrics.k8s.io/v1/pods", "GET /pods"],
        ),
        (
            'resources: [{group: "", resources: [pods/log, "*/status"]}]',
            ["GET /api/v1/namespaces/n/pods/p/log", "GET /api/v1/nodes/n/status"],
            ["GET /api/v1/pods", "GET /api/v1/namespaces/n/pods/p/exec"],
        ),
        (
            'resources: [{group: "", resources: ["pods/*"]}]',
            ["GET /api/v1/pods", "GET /api/v1/namespaces/n/pods/p/exec"],
            ["GET /api/v1/nodes/n/status"],
        ),
        (
            'resources: [{group: "", resources: ["*"]}]',
            ["GET /api/v1/nodes/n/status", "GET /api/v1/pods"],
            ["GET /apis/apps/v1/deployments"],
        ),
        ("resources: [{group: apps}]", ["GET /apis/apps/v1/deployments"], ["GET /api/v1/pods"]),
        ('resources: [{group: "*", resources: [pods]}]', ["GET /apis/metrics.k8s.io/v1/pods"], ["GET /api/v1/nodes"]),
        (
            'resources: [{group: "", resources: [configmaps], resourceNames: [a, b]}]',
            ["GET /api/v1/namespaces/n/configmaps/a"],
            ["GET /api/v1/namespaces/n/configmaps/c", "GET /api/v1/namespaces/n/configmaps"],
        ),
        (
            'nonResourceURLs: ["/healthz*", /version]',
            ["GET /healthz/ping", "GET /version"],
            ["GET /v", "GET /api/v1/pods"],
        ),
        ('nonResourceURLs: ["*"]', ["GET /anything"], ["GET /api/v1/pods"]),
        ("", ["GET /api/v1/pods", "GET /version"], []),
    ],
)
def test_a_rule_is_about_what_it_names_and_all_that_it_is_silent_of(
    file: Path, rule: str, requests: list[str], others: list[str]
) -> None:
    file.write_text(f"{HEAD}rules:\n- level: Metadata\n  {rule}\n- level: Request\n")
    policy = read_policy(file)
    for text, level in [*((one, "Metadata") for one in requests), *((one, "Request") for one in others)]:
        method, path = text.split()
        info = request_info(method, path, parse_query(""))
        assert policy.rule(info, JANE).level == level, text


def test_a_rule_about_users_is_about_nobody_unknown(file: Path) -> None:
    file.write_text(HEAD + "rules:\n- {level: Metadata, users: [jane]}\n- {level: Metadata, userGroups: [g]}\n")
    ruling = read_policy(file).rule(request_info("GET", "/version", {}), None)
    assert (ruling.level, ruling.depth) == ("None", 0)


def test_what_is_left_out_everywhere_is_left_out_of_each_rule(file: Path) -> None:
    file.write_text(
        HEAD + "omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n"
        "- {level: Metadata, users: [jane], omitStages: [Panic], omitManagedFields: false}\n- level: Request\n"
    )
    policy, info = read_policy(file), request_info("GET", "/version", {})
    first, second = policy.rule(info, JANE), policy.rule(info, Identity("joe"))
    assert (first.omitted, first.omits_managed_fields) == (frozenset(("RequestReceived", "Panic")), False)
    assert (second.omitted, second.omits_managed_fields) == (frozenset(("RequestReceived",)), True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "failed decoding: it is empty"),
        ("a: 1", "failed decoding: Object 'Kind' is missing"),
        ("a: [", "failed decoding: "),
        ("kind: Policy\napiVersion: v1\n", 'failed decoding: no kind "Policy" is registered for version "v1"'),
        (HEAD, "loaded illegal policy with 0 rules"),
        (HEAD + "rules: x\n", "failed decoding: rules: must be a list of objects"),
        (HEAD + "rules: [{level: None, users: x}]\n", r"failed decoding: rules\[0\].users: must be a list of strings"),
        (
            HEAD + "rules: [{level: None, resources: [x]}]\n",
            r"failed decoding: rules\[0\].resources: must be a list of objects",
        ),
        (HEAD + "rules: [{}]\n", r"rules\[0\].level: Required value"),
        (
            HEAD + "rules: [{level: Odd}]\n",
            r'rules\[0\].level: Unsupported value: "Odd": supported values: "None", "Metadata", "Request", '
            '"RequestResponse"',
        ),
        (
            HEAD + "omitStages: [Odd]\nrules: [{level: None}]\n",
            r'omitStages\[0\]: Invalid value: "Odd": allowed stages are RequestReceived,ResponseStarted,'
            "ResponseComplete,Panic",
        ),
        (
            HEAD + "rules: [{level: None, nonResourceURLs: [a, /b*c]}]\n",
            r"\[rules\[0\].nonResourceURLs\[0\]: Invalid value: \"a\": non-resource URL rules must begin with a '/' "
            r"character, rules\[0\].nonResourceURLs\[1\]: Invalid value: \"/b\*c\": non-resource URL wildcards '\*' "
            "must be the final character of the rule",
        ),
        (
            HEAD + "rules: [{level: None, nonResourceURLs: [/a], namespaces: [ns]}]\n",
            "rules cannot apply to both regular resources and non-resource URLs",
        ),
        (
            HEAD + "rules: [{level: None, resources: [{group: apps/v1}]}]\n",
            r'rules\[0\].resources.group: Invalid value: "apps/v1": a lowercase RFC 1123 subdomain',
        ),
        (
            HEAD + 'rules: [{level: None, resources: [{group: "", resourceNames: [a]}]}]\n',
            r"rules\[0\].resources.resourceNames: Invalid value: \[\"a\"\]: using resourceNames requires at least one",
        ),
    ],
)
def test_a_bad_file_is_refused_with_all_that_is_wrong(file: Path, text: str, why: str) -> None:
    file.write_text(text)
    with pytest.raises(PolicyError, match=why) as caught:
        read_policy(file)
    assert str(caught.value).endswith(f": from file {file}")


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(PolicyError, match=r"failed to read file path .*: No such file"):
        read_policy(file)


def test_what_means_nothing_is_told_of_and_left_out(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text(HEAD + "odd: 1\nrules: [{level: Metadata, usres: [a]}]\n")
    assert read_policy(file).rule(request_info("GET", "/version", {}), None).level == "Metadata"
    assert 'unknown field "odd"' in caplog.text
    assert 'unknown field "rules[0].usres"' in caplog.text
