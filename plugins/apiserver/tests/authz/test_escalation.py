"""Nobody hands out more than they have: a recorded session, and the edges of the comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.authz import RBAC, Escalation, ResourceAttributes, union
from hyperkube_apiserver.authz.escalation import missing_rules
from hyperkube_apiserver.authz.rules import Rule
from hyperkube_machinery.errors import APIError

GROUP = "rbac.authorization.k8s.io"
RECORDED = json.loads((Path(__file__).parent / "data" / "escalation.json").read_text())
Tree = dict[str, Any]
JOE = Identity("joe", groups=("system:authenticated",))
EVERYTHING: list[Tree] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


def test_a_recorded_session_is_answered_alike() -> None:
    rbac = RBAC()
    admin = {"metadata": {"name": "cluster-admin"}, "rules": EVERYTHING}
    rbac.replace([], [], [admin], [])
    escalation = Escalation(rbac, union([rbac]))
    stored: dict[str, Tree] = {}
    refusals = 0
    for step in RECORDED:
        if step["method"] == "GET":
            continue
        pieces = step["path"].split("/")
        namespace, resource = pieces[5], pieces[6]
        old = stored.get("/".join(pieces[6:8])) if step["method"] == "PATCH" else None
        body = step["body"]
        obj: Tree = {**old, **body, "metadata": {**old["metadata"], **body.get("metadata", {})}} if old else body
        info = ResourceAttributes(
            verb="patch" if old else "create",
            group=GROUP,
            resource=resource,
            namespace=namespace,
            name=obj["metadata"]["name"] if old else "",
        )
        groups = ("system:authenticated",) if step["user"] else ("system:masters", "system:authenticated")
        identity = Identity(step["user"] or "admin", groups=groups)
        if step["status"] >= 400:
            refusals += 1
            with pytest.raises(APIError) as refused:
                escalation.check(identity, info, obj, old)
            assert refused.value.status == step["answer"]
        else:
            escalation.check(identity, info, obj, old)
            key = f"{namespace}/{obj['metadata']['name']}"
            stored[f"{resource}/{obj['metadata']['name']}"] = obj
            rbac.apply(resource, key, obj)
    assert refusals == 4


def world(*rules: Tree, **more: list[Tree]) -> Escalation:
    """joe holds `rules` in the cluster."""
    rbac = RBAC()
    held = {"metadata": {"name": "held"}, "rules": list(rules)}
    bound = {
        "metadata": {"name": "held"},
        "roleRef": {"kind": "ClusterRole", "name": "held"},
        "subjects": [{"kind": "User", "name": "joe"}],
    }
    rbac.replace([], [], [held, *more.get("clusterroles", [])], [bound, *more.get("bindings", [])])
    return Escalation(rbac, union([rbac]))


def writes(resource: str, namespace: str = "", name: str = "") -> ResourceAttributes:
    return ResourceAttributes(verb="create", group=GROUP, resource=resource, namespace=namespace, name=name)


def cluster_role(*rules: Tree, **more: Any) -> Tree:
    return {"metadata": {"name": "new"}, "rules": list(rules), **more}


GET_PODS: Tree = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}


def test_the_right_to_escalate_or_bind_is_enough() -> None:
    escalate = {"verbs": ["escalate"], "apiGroups": [GROUP], "resources": ["clusterroles"]}
    world(escalate).check(JOE, writes("clusterroles"), cluster_role(*EVERYTHING))
    bind = {"verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["big"]}
    big = {"metadata": {"name": "big"}, "rules": EVERYTHING}
    other = {"metadata": {"name": "other"}, "rules": EVERYTHING}
    escalation = world(bind, clusterroles=[big, other])

    def binding(name: str) -> Tree:
        return {"metadata": {"name": "b"}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}}

    escalation.check(JOE, writes("clusterrolebindings"), binding("big"))
    with pytest.raises(APIError, match="attempting to grant RBAC permissions not currently held"):
        escalation.check(JOE, writes("clusterrolebindings"), binding("other"))


def test_masters_and_other_resources_are_not_checked() -> None:
    masters = Identity("x", groups=("system:masters",))
    world().check(masters, writes("clusterroles"), cluster_role(*EVERYTHING))
    world().check(JOE, ResourceAttributes(verb="create", resource="pods"), {"metadata": {"name": "p"}})


def test_what_is_held_in_a_namespace_counts_there_alone() -> None:
    rbac = RBAC()
    local = {"metadata": {"name": "r", "namespace": "ns"}, "rules": [GET_PODS]}
    bound = {
        "metadata": {"name": "b", "namespace": "ns"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "joe"}],
    }
    rbac.replace([local], [bound], [], [])
    escalation = Escalation(rbac, union([rbac]))
    escalation.check(JOE, writes("roles", "ns"), cluster_role(GET_PODS))
    for info in (writes("roles", "other"), writes("clusterroles")):
        with pytest.raises(APIError):
            escalation.check(JOE, info, cluster_role(GET_PODS))


def test_an_aggregated_role_takes_everything() -> None:
    aggregation = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    role = cluster_role(GET_PODS, aggregationRule=aggregation)
    with pytest.raises(APIError) as refused:
        world(GET_PODS).check(JOE, writes("clusterroles"), role)
    assert str(refused.value) == (
        f'clusterroles.{GROUP} "new" is forbidden: must have cluster-admin privileges to use the aggregationRule'
    )
    with pytest.raises(APIError, match="aggregationRule"):
        world(GET_PODS).check(JOE, writes("clusterroles", name="new"), cluster_role(GET_PODS, x=1), role)
    world(*EVERYTHING).check(JOE, writes("clusterroles"), role)


def test_what_only_garbage_collection_works_on_may_change() -> None:
    old = cluster_role(*EVERYTHING)
    old["metadata"]["resourceVersion"] = "7"
    new = cluster_role(*EVERYTHING)
    new["metadata"]["finalizers"] = ["x/y"]
    world().check(JOE, writes("clusterroles", name="new"), new, old)
    new["metadata"]["labels"] = {"a": "b"}
    with pytest.raises(APIError):
        world().check(JOE, writes("clusterroles", name="new"), new, old)


def test_roles_of_the_writer_that_are_missing_are_told() -> None:
    dangling = {
        "metadata": {"name": "d"},
        "roleRef": {"kind": "ClusterRole", "name": "gone"},
        "subjects": [{"kind": "User", "name": "joe"}],
    }
    with pytest.raises(APIError) as refused:
        world(bindings=[dangling]).check(JOE, writes("clusterroles"), cluster_role(GET_PODS))
    assert str(refused.value).endswith(f'; resolution errors: [clusterroles.{GROUP} "gone" not found]')


def test_missing_rights_are_listed_in_order_with_their_verbs_together() -> None:
    wanted = [
        {"verbs": ["get", "list"], "apiGroups": ["", "apps"], "resources": ["pods"], "resourceNames": ["a"]},
        {"verbs": ["get"], "nonResourceURLs": ["/x", "/held/y"]},
        GET_PODS,
    ]
    held = [
        {"verbs": ["list"], "apiGroups": ["apps"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["/held/*"]},
    ]
    with pytest.raises(APIError) as refused:
        world(*held).check(JOE, writes("clusterroles"), cluster_role(*wanted))
    assert str(refused.value).split(":\n")[1].split("\n") == [
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get" "list"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["get"]}',
        '{APIGroups:["apps"], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}',
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
    ]


def test_a_rule_for_some_names_does_not_cover_one_for_all() -> None:
    some = Rule(("get",), ("",), ("pods",), ("",))
    assert missing_rules([some], [Rule(("get",), ("",), ("pods",))]) == [Rule(("get",), ("",), ("pods",))]


@pytest.mark.parametrize(
    ("held", "wanted", "covered"),
    [
        ("*", "pods/log", True),
        ("*/log", "pods/log", True),
        ("pods/log", "*/log", False),
        ("*/log", "*/log", True),
        ("pods", "pods/log", False),
        ("pods/log", "pods", False),
        ("pods", "*", False),
    ],
)
def test_subresources_are_covered_as_upstream_covers_them(held: str, wanted: str, covered: bool) -> None:
    missing = missing_rules([Rule(("*",), ("*",), (held,))], [Rule(("get",), ("",), (wanted,))])
    assert (missing == []) is covered


def test_a_huge_rule_is_refused_unless_everything_is_held() -> None:
    many = tuple(f"x{number}" for number in range(400))
    huge = Rule(many, many, many)
    everything = [Rule.parse(rule) for rule in EVERYTHING]
    assert missing_rules(everything, [huge]) == []
    assert missing_rules([Rule(many, many, ("*",))], [huge]) == [huge]


WORDS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=2, unique=True).map(tuple)
NAMES = st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True).map(tuple)
RESOURCES = st.lists(st.sampled_from(["r", "r/x", "*/x", "*"]), min_size=1, max_size=2, unique=True).map(tuple)
RESOURCE_RULES = st.builds(Rule, WORDS, WORDS, RESOURCES, NAMES)


@given(st.lists(RESOURCE_RULES, max_size=3), st.lists(RESOURCE_RULES, max_size=3))
def test_what_is_covered_allows_nothing_new(held: list[Rule], wanted: list[Rule]) -> None:
    if missing_rules(held, wanted):
        return
    for verb in ("a", "b", "c"):
        for group in ("a", "b", "c"):
            for resource, subresource in (("r", ""), ("r", "x"), ("s", "x"), ("s", "y")):
                for name in ("", "a", "b", "c"):
                    asked = (verb, group, resource, subresource, name)
                    assert any(rule.allows(*asked) for rule in held) or not any(rule.allows(*asked) for rule in wanted)
