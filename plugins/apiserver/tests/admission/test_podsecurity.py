"""PodSecurity: the standards check by check as kube-apiserver applies them, and what namespaces make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.admission import AdmissionSettings
from hyperkube_apiserver.admission.configuration import ConfigurationError
from hyperkube_apiserver.admission.podsecurity.baseline import BASELINE
from hyperkube_apiserver.admission.podsecurity.configuration import read_configuration
from hyperkube_apiserver.admission.podsecurity.levels import (
    LATEST,
    LevelVersion,
    Policy,
    parse_version,
    policy_of,
)
from hyperkube_apiserver.admission.podsecurity.restricted import OVERRIDES, RESTRICTED
from hyperkube_apiserver.admission.podsecurity.standard import checks, violations
from hyperkube_apiserver.authn import Identity

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "podsecurity.json").read_text("utf-8"))
PLUGIN = "PodSecurity"
LABEL = "pod-security.kubernetes.io"

Tree = dict[str, Any]


def expected(rows: list[list[str]], version: str) -> str:
    """What was answered at a version: a row holds from its version on."""
    versions = RECORDED["versions"]
    return [text for since, text in rows if versions.index(since) <= versions.index(version)][-1]


@pytest.mark.parametrize("level", ["baseline", "restricted"])
@pytest.mark.parametrize("name", RECORDED["pods"])
def test_each_check_says_at_each_version_what_upstreams_says(name: str, level: str) -> None:
    pod = RECORDED["pods"][name]
    for version in RECORDED["versions"]:
        found = violations(LevelVersion(level, parse_version(version)), pod["metadata"], pod["spec"])
        assert ", ".join(map(str, found)) == expected(pod[level], version), version


def test_every_check_is_violated_and_passed_by_a_pod() -> None:
    bare = {"containers": [{"name": "c", "securityContext": {"procMount": "Unmasked"}}]}  # which nobody may store
    pods = [*RECORDED["pods"].values(), {"metadata": {}, "spec": bare}]
    for name, versions in {**BASELINE, **RESTRICTED}.items():
        for _, check in versions:
            verdicts = {check(pod["metadata"], pod["spec"]) is None for pod in pods}
            assert verdicts == {True, False}, name


def test_the_restricted_level_asks_all_that_the_baseline_asks() -> None:
    for minor in range(40):
        baseline, restricted = checks("baseline", minor), checks("restricted", minor)
        replaced = {OVERRIDES[name] for name in restricted if name in OVERRIDES}
        assert set(baseline) - replaced <= set(restricted)


@pytest.mark.parametrize(
    ("labels", "policy"),
    [
        ({}, "privileged:latest privileged:latest privileged:latest"),
        ({"enforce": "baseline"}, "baseline:latest privileged:latest baseline:latest"),
        ({"enforce": "baseline", "enforce-version": "v1.20"}, "baseline:v1.20 privileged:latest baseline:v1.20"),
        ({"enforce": "baseline", "warn": "privileged"}, "baseline:latest privileged:latest privileged:latest"),
        ({"enforce": "baseline", "warn-version": "v1.9"}, "baseline:latest privileged:latest baseline:v1.9"),
        ({"audit": "restricted", "audit-version": "v1.3"}, "privileged:latest restricted:v1.3 privileged:latest"),
        ({"warn": "baseline"}, "privileged:latest privileged:latest baseline:latest"),
    ],
)
def test_labels_come_to_a_policy(labels: Tree, policy: str) -> None:
    found, errors = policy_of({f"{LABEL}/{key}": value for key, value in labels.items()}, Policy())
    assert (f"{found.enforce} {found.audit} {found.warn}", errors) == (policy, [])


def test_labels_that_mean_nothing_enforce_the_strictest_and_look_at_nothing_else() -> None:
    labels = {f"{LABEL}/{mode}": "odd" for mode in ("enforce", "audit", "warn")}
    found, errors = policy_of({**labels, f"{LABEL}/enforce-version": "1.2"}, Policy())
    assert (found.enforce, found.audit.level, found.warn.level) == (
        LevelVersion("restricted", LATEST),
        "privileged",
        "privileged",
    )
    assert [str(error) for error in errors] == [
        f'metadata.labels[{LABEL}/enforce]: Invalid value: "odd": must be one of privileged, baseline, restricted',
        f'metadata.labels[{LABEL}/enforce-version]: Invalid value: "1.2": must be "latest" or "v1.x"',
        f'metadata.labels[{LABEL}/audit]: Invalid value: "odd": must be one of privileged, baseline, restricted',
        f'metadata.labels[{LABEL}/warn]: Invalid value: "odd": must be one of privileged, baseline, restricted',
    ]


@pytest.mark.parametrize("text", ["", "v1", "v1.01", "v2.1", "1.20", "v1.-1", "latest ", "v1.99999999999999999999"])
def test_what_is_no_version_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r'must be "latest" or "v1\.x"'):
        parse_version(text)


def namespaced(world: Any, **labels: str) -> None:
    world.add("namespaces", "ns", metadata={"labels": {f"{LABEL}/{k.replace('_', '-')}": v for k, v in labels.items()}})


def configured(world: Any, **configuration: Any) -> None:
    head = {"kind": "PodSecurityConfiguration", "apiVersion": "pod-security.admission.config.k8s.io/v1"}
    world.settings = AdmissionSettings(configurations={PLUGIN: {**head, **configuration}})


BAD: Tree = {"metadata": {"name": "p"}, "spec": {"hostNetwork": True, "containers": [{"name": "c", "image": "i"}]}}
FINE: Tree = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.mark.anyio
class TestPods:
    async def test_a_pod_that_does_too_much_is_refused_and_noted(self, world: Any) -> None:
        namespaced(world, enforce="baseline", audit="restricted", audit_version="v1.8")
        told = await world.refusal(PLUGIN, "pods", BAD)
        assert (
            told == 'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
        )
        assert world.warnings == [], "a refusal says it all"
        assert world.notes == {
            f"{LABEL}/enforce-policy": "baseline:latest",
            f"{LABEL}/audit-violations": 'would violate PodSecurity "restricted:v1.8": host namespaces '
            '(hostNetwork=true), allowPrivilegeEscalation != false (container "c" must set '
            'securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or container "c" must set '
            "securityContext.runAsNonRoot=true)",
        }
        assert await world.unaffected(PLUGIN, "pods", BAD)

    async def test_a_pod_that_will_do_too_much_is_warned_of(self, world: Any) -> None:
        namespaced(world, warn="baseline")
        assert await world.ask(PLUGIN, "pods", BAD) == BAD
        told = 'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
        assert world.warnings == [told]
        assert world.notes == {f"{LABEL}/enforce-policy": "privileged:latest"}

    async def test_where_nothing_is_asked_nothing_is_said(self, world: Any) -> None:
        namespaced(world)
        await world.ask(PLUGIN, "pods", BAD)
        assert (world.warnings, world.notes) == ([], {f"{LABEL}/enforce-policy": "privileged:latest"})

    async def test_labels_that_mean_nothing_are_noted_and_enforced(self, world: Any) -> None:
        namespaced(world, enforce="odd")
        assert 'violates PodSecurity "restricted:latest"' in await world.refusal(PLUGIN, "pods", FINE)
        assert world.notes[f"{LABEL}/error"].startswith(
            f'Failed to parse policy: metadata.labels[{LABEL}/enforce]: Invalid value: "odd"'
        )

    async def test_a_pod_without_a_namespace_is_an_error(self, world: Any) -> None:
        told = await world.refusal(PLUGIN, "pods", FINE, code=500)
        assert told == 'Internal error occurred: failed to lookup namespace "ns"'

    async def test_an_update_that_brings_nothing_new_is_let_alone(self, world: Any) -> None:
        namespaced(world, enforce="baseline")
        labelled = {**BAD, "metadata": {"name": "p", "labels": {"a": "b"}}}
        assert await world.ask(PLUGIN, "pods", labelled, old=BAD) == labelled
        other = {**BAD, "spec": {**BAD["spec"], "containers": [{"name": "c", "image": "other"}]}}
        await world.refusal(PLUGIN, "pods", other, old=BAD)

    async def test_an_ephemeral_container_is_looked_at(self, world: Any) -> None:
        namespaced(world, enforce="baseline")
        added = {"name": "e", "image": "i", "securityContext": {"privileged": True}}
        changed = {**FINE, "spec": {**FINE["spec"], "ephemeralContainers": [added]}}
        told = await world.refusal(PLUGIN, "pods", changed, old=FINE, subresource="ephemeralcontainers")
        assert 'privileged (container "e" must not set securityContext.privileged=true)' in told
        assert await world.ask(PLUGIN, "pods", changed, old=changed, subresource="ephemeralcontainers") == changed

    @pytest.mark.parametrize("subresource", ["status", "binding", "eviction", "exec"])
    async def test_other_subresources_are_let_alone(self, world: Any, subresource: str) -> None:
        namespaced(world, enforce="restricted")
        assert await world.ask(PLUGIN, "pods", BAD, old=FINE, subresource=subresource) == BAD


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("replicationcontrollers", ("spec", "template")),
        ("podtemplates", ("template",)),
        ("replicasets.apps", ("spec", "template")),
        ("deployments.apps", ("spec", "template")),
        ("statefulsets.apps", ("spec", "template")),
        ("daemonsets.apps", ("spec", "template")),
        ("jobs.batch", ("spec", "template")),
        ("cronjobs.batch", ("spec", "jobTemplate", "spec", "template")),
    ],
)
async def test_what_makes_pods_is_warned_of_and_never_refused(world: Any, address: str, path: tuple[str, ...]) -> None:
    namespaced(world, enforce="baseline", audit="baseline")
    inner: Tree = {"metadata": {}, "spec": BAD["spec"]}
    for field in reversed(path):
        inner = {field: inner}
    workload = {"metadata": {"name": "w"}, **inner}
    assert await world.ask(PLUGIN, address, workload) == workload
    told = 'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    assert (world.warnings, world.notes) == ([told], {f"{LABEL}/audit-violations": told})
    world.forget()
    assert await world.ask(PLUGIN, address, workload, old=workload, subresource="status") == workload
    assert world.warnings == []


@pytest.mark.anyio
class TestNamespaces:
    async def ask(self, world: Any, new: Tree, old: Tree | None = None) -> None:
        trees = [
            {"metadata": {"name": "ns", "labels": {f"{LABEL}/{key}": value for key, value in labels.items()}}}
            for labels in (new, old or {})
        ]
        await world.ask(PLUGIN, "namespaces", trees[0], old=trees[1] if old is not None else None, namespace="ns")

    @pytest.mark.parametrize("old", [None, {}, {"enforce": "else"}])
    async def test_labels_that_mean_nothing_are_refused_where_they_are_new(self, world: Any, old: Tree | None) -> None:
        labelled = [
            {"metadata": {"name": "ns", "labels": {f"{LABEL}/{key}": value for key, value in labels.items()}}}
            for labels in ({"enforce": "odd"}, old or {})
        ]
        before = labelled[1] if old is not None else None
        told = await world.refusal(PLUGIN, "namespaces", labelled[0], old=before, namespace="ns", code=422)
        assert told == (
            f'Namespace "ns" is invalid: metadata.labels[{LABEL}/enforce]: Invalid value: "odd": must be one of '
            "privileged, baseline, restricted"
        )

    async def test_labels_that_meant_nothing_before_may_stay(self, world: Any) -> None:
        await self.ask(world, {"enforce": "odd"}, {"enforce": "odd"})

    async def test_pods_that_are_there_are_warned_of(self, world: Any) -> None:
        for name, spec in (("a", BAD), ("b", BAD), ("c", FINE), ("d", BAD)):
            world.add("pods", name, "ns", spec=spec["spec"])
        privileged = {"containers": [{"name": "c", "securityContext": {"privileged": True}}]}
        world.add("pods", "alone", "ns", spec=privileged)
        world.add("pods", "x", "other", spec=BAD["spec"])
        await self.ask(world, {"enforce": "baseline"}, {})
        assert world.warnings == [
            'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"',
            "a (and 2 other pods): host namespaces",
            "alone: privileged",
        ]

    async def test_of_two_pods_one_is_the_other(self, world: Any) -> None:
        world.add("pods", "b", "ns", spec=BAD["spec"])
        world.add("pods", "a", "ns", spec=BAD["spec"])
        await self.ask(world, {"enforce": "baseline"}, {})
        assert world.warnings[1:] == ["a (and 1 other pod): host namespaces"]

    @pytest.mark.parametrize(
        ("new", "old"),
        [
            ({"enforce": "baseline"}, {"enforce": "baseline"}),
            ({"enforce": "privileged"}, {"enforce": "baseline"}),
            ({"enforce": "baseline"}, {"enforce": "restricted"}),
            ({"audit": "restricted"}, {}),
        ],
    )
    async def test_what_is_no_stricter_is_not_looked_into(self, world: Any, new: Tree, old: Tree) -> None:
        world.add("pods", "a", "ns", spec=BAD["spec"])
        await self.ask(world, new, old)
        assert world.warnings == []

    async def test_of_many_pods_the_first_are_looked_at_one_of_each_controller_before_others(self, world: Any) -> None:
        owner = {"kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}
        for number in range(3001):
            spec = BAD["spec"] if number == 3000 else FINE["spec"]
            owned = {"ownerReferences": [owner]} if number < 3000 else {}
            world.add("pods", f"p{number:04d}", "ns", spec=spec, metadata=owned)
        await self.ask(world, {"enforce": "baseline"}, {})
        assert world.warnings == [
            "new PodSecurity enforce level only checked against the first 3000 of 3001 existing pods",
            'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"',
            "p3000: host namespaces",
        ]


@pytest.mark.anyio
class TestExemptions:
    async def test_a_namespace_is_not_looked_at(self, world: Any) -> None:
        configured(world, defaults={"enforce": "restricted"}, exemptions={"namespaces": ["ns"]})
        await world.ask(PLUGIN, "pods", BAD)
        assert world.notes == {f"{LABEL}/exempt": "namespace"}

    async def test_a_user_is_not_looked_at(self, world: Any) -> None:
        configured(world, defaults={"enforce": "restricted"}, exemptions={"usernames": ["jane"]})
        namespaced(world)
        await world.refusal(PLUGIN, "pods", BAD)
        world.identity = Identity("jane")
        world.forget()
        await world.ask(PLUGIN, "pods", BAD)
        assert world.notes == {f"{LABEL}/exempt": "user"}

    async def test_a_runtime_class_is_not_looked_at(self, world: Any) -> None:
        configured(world, defaults={"enforce": "restricted"}, exemptions={"runtimeClasses": ["vm"]})
        namespaced(world)
        await world.ask(PLUGIN, "pods", {**BAD, "spec": {**BAD["spec"], "runtimeClassName": "vm"}})
        assert world.notes == {f"{LABEL}/exempt": "runtimeClass"}

    async def test_an_exempt_namespace_is_told_that_its_labels_mean_nothing(self, world: Any) -> None:
        configured(world, exemptions={"namespaces": ["ns"]})
        labels = {f"{LABEL}/enforce": "baseline", f"{LABEL}/audit-version": "v1.20", f"{LABEL}/audit": "restricted"}
        namespace = {"metadata": {"name": "ns", "labels": labels}}
        told = (
            'namespace "ns" is exempt from Pod Security, and the policy (enforce=baseline:latest, '
            "audit=restricted:v1.20, warn=baseline:latest) will be ignored"
        ).replace(", warn=baseline:latest", "")
        for old in (None, {"metadata": {"name": "ns"}}):
            world.forget()
            await world.ask(PLUGIN, "namespaces", namespace, old=old, namespace="ns")
            assert world.warnings == [told]

    async def test_defaults_hold_where_a_namespace_says_nothing(self, world: Any) -> None:
        configured(world, defaults={"enforce": "baseline", "enforce-version": "v1.20"})
        namespaced(world)
        assert 'violates PodSecurity "baseline:v1.20"' in await world.refusal(PLUGIN, "pods", BAD)


@pytest.mark.anyio
async def test_what_is_looked_at_is_counted(world: Any) -> None:
    configured(world, exemptions={"runtimeClasses": ["vm"]})
    namespaced(world, enforce="baseline", enforce_version="v1.99", audit="restricted", audit_version="v1.20")
    await world.refusal(PLUGIN, "pods", BAD)
    world.identity = Identity("jane")
    await world.ask(PLUGIN, "pods", {**FINE, "spec": {**FINE["spec"], "runtimeClassName": "vm"}})
    counted = {
        (family.name, *values): one.value
        for family in world.cluster.metrics
        if family.name.startswith("pod_security_")
        for values, one in family.items()
    }
    request = ("create", "pod", "")
    assert counted == {
        ("pod_security_evaluations_total", "deny", "baseline", "future", "enforce", *request): 1,
        ("pod_security_evaluations_total", "deny", "restricted", "v1.20", "audit", *request): 1,
        ("pod_security_exemptions_total", *request): 1,
    }


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"kind": "Other"}, "its configuration is no PodSecurityConfiguration"),
        ({"odd": 1}, 'unknown field "odd"'),
        ({"defaults": {"enforces": "baseline"}}, 'unknown field "enforces"'),
        ({"defaults": []}, None),
        ({"defaults": "x"}, "defaults: must be an object"),
        (
            {"defaults": {"enforce": "odd", "warn-version": "1"}},
            r'\[defaults.enforce: Invalid value: "odd": must be one of .*, defaults.warn-version: Invalid value: "1": ',
        ),
        ({"exemptions": {"namespaces": ["A"]}}, r'exemptions.namespaces\[0\]: Invalid value: "A": a lowercase'),
        ({"exemptions": {"namespaces": ["a", "a"]}}, r'exemptions.namespaces\[1\]: Duplicate value: "a"'),
        (
            {"exemptions": {"usernames": [""]}},
            r'exemptions.usernames\[0\]: Invalid value: "": username must not be empty',
        ),
        ({"exemptions": {"runtimeClasses": ["a_b"]}}, r"exemptions.runtimeClasses\[0\]: Invalid value"),
    ],
)
def test_a_bad_configuration_is_refused_with_all_that_is_wrong(told: Tree, why: str | None) -> None:
    head = {"kind": "PodSecurityConfiguration", "apiVersion": "pod-security.admission.config.k8s.io/v1"}
    if why is None:
        read_configuration({**head, **told})
        return
    with pytest.raises(ConfigurationError, match=why):
        read_configuration({**head, **told})
