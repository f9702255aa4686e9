"""RBAC: what is allowed, where, to whom; the compiled index against a naive evaluator; what a refusal says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.authz import (
    RBAC,
    AlwaysAllow,
    AlwaysDeny,
    Authorizer,
    Decision,
    PrivilegedGroup,
    ResourceAttributes,
    rules,
    union,
)
from hyperkube_apiserver.authz.rules import Rule, Table

Tree = dict[str, Any]
JOE = Identity("joe", groups=("dev", "system:authenticated"))
ACCOUNT = Identity("system:serviceaccount:ns:robot", groups=("system:serviceaccounts", "system:serviceaccounts:ns"))


def rule(verbs: str = "get", groups: str = "", resources: str = "pods", names: str = "") -> Tree:
    made: Tree = {"verbs": verbs.split(), "apiGroups": groups.split(",") if groups else [""]}
    made["resources"] = resources.split()
    if names:
        made["resourceNames"] = names.split()
    return made


def paths(verbs: str, *urls: str) -> Tree:
    return {"verbs": verbs.split(), "nonResourceURLs": list(urls)}


def role(name: str, *given: Tree, namespace: str = "") -> Tree:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"metadata": metadata, "rules": list(given)}


def user(name: str) -> Tree:
    return {"kind": "User", "name": name}


def binding(name: str, ref: str, *subjects: Tree, namespace: str = "", kind: str = "") -> Tree:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    kind = kind or ("Role" if namespace else "ClusterRole")
    return {"metadata": metadata, "roleRef": {"kind": kind, "name": ref}, "subjects": list(subjects)}


def rbac(
    *,
    roles: Sequence[Tree] = (),
    rolebindings: Sequence[Tree] = (),
    clusterroles: Sequence[Tree] = (),
    bindings: Sequence[Tree] = (),
) -> RBAC:
    made = RBAC()
    made.replace(roles, rolebindings, clusterroles, bindings)
    return made


def asks(
    verb: str = "get", resource: str = "pods", *, group: str = "", namespace: str = "", name: str = ""
) -> ResourceAttributes:
    resource, _, subresource = resource.partition("/")
    return ResourceAttributes(
        verb=verb, group=group, resource=resource, subresource=subresource, namespace=namespace, name=name
    )


def path(url: str, verb: str = "get") -> ResourceAttributes:
    return ResourceAttributes(verb=verb, resource="", is_resource=False, path=url)


def allowed(authorizer: RBAC, identity: Identity, info: ResourceAttributes) -> bool:
    return authorizer.authorize(identity, info).allowed


def test_nobody_may_do_anything_until_the_roles_are_loaded() -> None:
    authorizer = RBAC()
    authorizer.apply("clusterroles", "all", role("all", rule("*", "*", "*")))
    authorizer.apply("clusterrolebindings", "all", binding("all", "all", user("joe")))
    decision = authorizer.authorize(JOE, asks())
    assert not decision.allowed
    assert "not loaded" in decision.reason
    authorizer.loaded = True
    assert allowed(authorizer, JOE, asks())


def test_a_cluster_binding_counts_everywhere_and_a_role_binding_in_its_namespace() -> None:
    authorizer = rbac(
        roles=[role("r", rule("get"), namespace="ns")],
        rolebindings=[
            binding("b", "r", user("joe"), namespace="ns"),
            binding("c", "c", user("joe"), namespace="ns", kind="ClusterRole"),
        ],
        clusterroles=[role("c", rule("list")), role("w", rule("watch"))],
        bindings=[binding("w", "w", user("joe"))],
    )
    assert [allowed(authorizer, JOE, asks(verb, namespace="ns")) for verb in ("get", "list", "watch")] == [True] * 3
    elsewhere = [allowed(authorizer, JOE, asks(verb, namespace="other")) for verb in ("get", "list", "watch")]
    assert elsewhere == [False, False, True]
    assert [allowed(authorizer, JOE, asks(verb)) for verb in ("get", "list", "watch")] == [False, False, True]
    assert not allowed(authorizer, Identity("tina"), asks("watch"))


def test_groups_and_service_accounts_are_subjects() -> None:
    authorizer = rbac(
        clusterroles=[role("c", rule())],
        bindings=[
            binding("g", "c", {"kind": "Group", "name": "dev"}),
            binding("s", "c", {"kind": "ServiceAccount", "name": "robot", "namespace": "ns"}),
            binding("x", "c", {"kind": "Robot", "name": "tina"}, {"kind": "ServiceAccount", "name": "stray"}),
        ],
    )
    assert allowed(authorizer, JOE, asks())
    assert allowed(authorizer, ACCOUNT, asks())
    assert not allowed(authorizer, Identity("dev"), asks())
    assert not allowed(authorizer, Identity("tina"), asks())
    assert not allowed(authorizer, Identity("system:serviceaccount::stray"), asks())


def test_a_service_account_without_a_namespace_is_one_of_the_bindings() -> None:
    authorizer = rbac(
        clusterroles=[role("c", rule())],
        rolebindings=[
            binding("b", "c", {"kind": "ServiceAccount", "name": "robot"}, namespace="ns", kind="ClusterRole")
        ],
    )
    assert allowed(authorizer, ACCOUNT, asks(namespace="ns"))
    assert not allowed(authorizer, ACCOUNT, asks(namespace="other"))


@pytest.mark.parametrize(
    ("given", "asked", "yes"),
    [
        (rule(names="a b"), asks(name="b"), True),
        (rule(names="a b"), asks(name="c"), False),
        (rule(names="a b"), asks("list", name=""), False),
        (rule("list", names="a"), asks("list", name=""), False),
        (rule(resources="pods/log"), asks(resource="pods/log"), True),
        (rule(resources="pods/log"), asks(resource="pods"), False),
        (rule(resources="pods"), asks(resource="pods/log"), False),
        (rule(resources="*/scale"), asks(resource="deployments/scale"), True),
        (rule(resources="*/scale"), asks(resource="scale"), False),
        (rule(resources="*/scale"), asks(resource="deployments/status"), False),
        (rule(resources="pods/*"), asks(resource="pods/log"), False),
        (rule(resources="*"), asks(resource="pods/log"), True),
        (rule(groups="*"), asks(group="apps"), True),
        (rule(groups="apps"), asks(group=""), False),
        (rule("*"), asks("impersonate"), True),
        (rule("*", "*", "*"), path("/healthz"), False),
    ],
)
def test_rules_match_as_upstreams_do(given: Tree, asked: ResourceAttributes, yes: bool) -> None:
    authorizer = rbac(clusterroles=[role("c", given)], bindings=[binding("b", "c", user("joe"))])
    assert allowed(authorizer, JOE, asked) is yes


@pytest.mark.parametrize(
    ("given", "asked", "yes"),
    [
        (paths("get", "/healthz"), path("/healthz"), True),
        (paths("get", "/healthz"), path("/healthz/etcd"), False),
        (paths("get", "/healthz/*"), path("/healthz/etcd"), True),
        (paths("get", "/healthz/*"), path("/healthz"), False),
        (paths("get", "/api*"), path("/apis"), True),
        (paths("get", "*"), path("/anything"), True),
        (paths("get", "/a/*/b"), path("/a/x/b"), False),
        (paths("get", "/healthz"), path("/healthz", "post"), False),
        (paths("*", "/healthz"), path("/healthz", "post"), True),
        (paths("get", "*"), asks(), False),
    ],
)
def test_paths_match_whole_or_by_their_beginning(given: Tree, asked: ResourceAttributes, yes: bool) -> None:
    authorizer = rbac(clusterroles=[role("c", given)], bindings=[binding("b", "c", user("joe"))])
    assert allowed(authorizer, JOE, asked) is yes


def test_paths_are_not_granted_in_a_namespace() -> None:
    authorizer = rbac(
        clusterroles=[role("c", paths("get", "/healthz"))],
        rolebindings=[binding("b", "c", user("joe"), namespace="ns", kind="ClusterRole")],
    )
    assert not allowed(authorizer, JOE, path("/healthz"))


def test_changes_count_at_once() -> None:
    authorizer = rbac(clusterroles=[role("c", rule("get"))], bindings=[binding("b", "c", user("joe"))])
    assert allowed(authorizer, JOE, asks("get"))
    authorizer.apply("clusterroles", "/registry/clusterroles/c", role("c", rule("list")))
    assert [allowed(authorizer, JOE, asks(verb)) for verb in ("get", "list")] == [False, True]
    authorizer.apply("clusterrolebindings", "b", binding("b", "c", user("tina")))
    assert not allowed(authorizer, JOE, asks("list"))
    assert allowed(authorizer, Identity("tina"), asks("list"))
    authorizer.apply("clusterrolebindings", "b", None)
    assert not allowed(authorizer, Identity("tina"), asks("list"))
    authorizer.apply("roles", "/registry/roles/ns/r", role("r", rule("get"), namespace="ns"))
    authorizer.apply("rolebindings", "ns/b", binding("b", "r", user("joe"), user("joe"), namespace="ns"))
    assert allowed(authorizer, JOE, asks("get", namespace="ns"))
    authorizer.apply("roles", "ns/r", None)
    assert not allowed(authorizer, JOE, asks("get", namespace="ns"))
    authorizer.apply("rolebindings", "ns/b", None)
    authorizer.apply("rolebindings", "ns/b", None)
    assert authorizer.authorize(JOE, asks("get", namespace="ns")).reason == ""


def test_a_refusal_tells_of_roles_that_are_missing() -> None:
    authorizer = rbac(
        bindings=[binding("b", "none", user("joe")), binding("c", "none", user("joe"))],
        rolebindings=[binding("b", "gone", user("joe"), namespace="ns")],
    )
    cluster = 'clusterrole.rbac.authorization.k8s.io "none" not found'
    local = 'role.rbac.authorization.k8s.io "gone" not found'
    assert authorizer.authorize(JOE, asks()).reason == f"RBAC: {cluster}"
    assert authorizer.authorize(JOE, asks(namespace="ns")).reason == f"RBAC: [{cluster}, {local}]"
    assert authorizer.authorize(Identity("tina"), asks()).reason == ""


def test_a_reference_to_another_kind_is_told() -> None:
    authorizer = rbac(bindings=[binding("b", "x", user("joe"), kind="Pod")])
    assert authorizer.authorize(JOE, asks()).reason == 'RBAC: unsupported role reference kind: "Pod"'


def test_a_permission_can_say_where_it_comes_from() -> None:
    authorizer = rbac(
        clusterroles=[role("c", rule("get")), role("p", paths("get", "/x"))],
        bindings=[binding("b", "c", {"kind": "Group", "name": "dev"}), binding("p", "p", user("joe"))],
        rolebindings=[
            binding("n", "c", {"kind": "ServiceAccount", "name": "robot"}, namespace="ns", kind="ClusterRole")
        ],
    )
    reason = authorizer.explain(JOE, asks()).reason
    assert reason == 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "c" to Group "dev"'
    assert authorizer.explain(JOE, path("/x")).reason.endswith('ClusterRole "p" to User "joe"')
    account = authorizer.explain(ACCOUNT, asks(namespace="ns")).reason
    assert account == 'RBAC: allowed by RoleBinding "n/ns" of ClusterRole "c" to ServiceAccount "robot/ns"'
    assert not authorizer.explain(JOE, asks("delete")).allowed


def test_the_rules_of_a_user_can_be_listed() -> None:
    authorizer = rbac(
        roles=[role("r", rule("list"), namespace="ns")],
        clusterroles=[role("c", rule("get"), paths("get", "/x"))],
        bindings=[binding("b", "c", user("joe"), {"kind": "Group", "name": "dev"})],
        rolebindings=[binding("b", "r", user("joe"), namespace="ns")],
    )
    listed = [each.tree() for each in authorizer.rules_for(JOE, "ns").rules]
    assert listed == [rule("get"), paths("get", "/x"), rule("list")]
    assert [each.tree() for each in authorizer.rules_for(JOE, "").rules] == [rule("get"), paths("get", "/x")]


def ruled(authorizer: Authorizer, who: Identity, question: ResourceAttributes) -> Decision:
    """What is decided without anybody being asked."""
    decision = authorizer.authorize(who, question)
    assert isinstance(decision, Decision)
    return decision


def test_masters_may_do_everything_and_come_first() -> None:
    authorizer = union([RBAC()])
    assert ruled(authorizer, Identity("x", groups=("system:masters",)), asks("delete", "nodes")).allowed
    assert PrivilegedGroup("wheel").authorize(Identity("x", groups=("wheel",)), asks()).allowed
    assert not PrivilegedGroup("wheel").authorize(Identity("x"), asks()).allowed


def test_a_union_allows_what_one_allows_and_tells_all_reasons() -> None:
    missing = rbac(bindings=[binding("b", "none", user("joe"))])
    assert ruled(union([AlwaysDeny(), AlwaysAllow()]), JOE, asks()).allowed
    assert ruled(union([AlwaysDeny(), missing]), JOE, asks()).reason == (
        'Everything is forbidden.\nRBAC: clusterrole.rbac.authorization.k8s.io "none" not found'
    )
    assert ruled(union([]), JOE, asks()).reason == ""


def test_a_rule_of_long_lists_is_not_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_MOST_COMBINATIONS", 3)
    wide = Rule(("get", "list"), ("", "apps"), ("pods", "*/scale"), ("a",))
    table = Table([wide])
    assert table.allows("list", "apps", "x", "scale", "a")
    assert not table.allows("list", "apps", "x", "scale", "b")
    assert not table.allows("list", "apps", "x", "scale", None)
    assert not table.allows("watch", "apps", "pods", "", "a")


# Against a naive evaluator, over small worlds in which collisions are likely

NAMES = st.sampled_from(["a", "b"])
NAMESPACES = st.sampled_from(["n1", "n2"])
VERBS = st.lists(st.sampled_from(["get", "list", "*"]), min_size=1, max_size=2)
RULES = st.one_of(
    st.fixed_dictionaries(
        {
            "verbs": VERBS,
            "apiGroups": st.lists(st.sampled_from(["", "g", "*"]), min_size=1, max_size=2),
            "resources": st.lists(st.sampled_from(["r", "s", "r/x", "*/x", "*"]), min_size=1, max_size=2),
            "resourceNames": st.lists(NAMES, max_size=2),
        }
    ),
    st.fixed_dictionaries(
        {
            "verbs": VERBS,
            "nonResourceURLs": st.lists(st.sampled_from(["/a", "/a/*", "/a*", "*"]), min_size=1, max_size=2),
        }
    ),
)
SUBJECTS = st.one_of(
    st.fixed_dictionaries({"kind": st.sampled_from(["User", "Group"]), "name": NAMES}),
    st.fixed_dictionaries({"kind": st.just("ServiceAccount"), "name": NAMES}, optional={"namespace": NAMESPACES}),
)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str, str, Tree | None]:
    """A change of one object: resource, namespace, name and the object, or None for its deletion."""
    resource = draw(st.sampled_from(["roles", "clusterroles", "rolebindings", "clusterrolebindings"]))
    namespace = "" if resource.startswith("cluster") else draw(NAMESPACES)
    name = draw(NAMES)
    if draw(st.integers(0, 4)) == 0:
        return resource, namespace, name, None
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    if resource.endswith("roles"):
        return resource, namespace, name, {"metadata": metadata, "rules": draw(st.lists(RULES, max_size=3))}
    kind = "ClusterRole" if not namespace else draw(st.sampled_from(["Role", "ClusterRole"]))
    ref = {"kind": kind, "name": draw(NAMES)}
    subjects = draw(st.lists(SUBJECTS, max_size=3))
    return resource, namespace, name, {"metadata": metadata, "roleRef": ref, "subjects": subjects}


@st.composite
def questions(draw: st.DrawFn) -> tuple[Identity, ResourceAttributes]:
    name = draw(st.sampled_from(["a", "b", "system:serviceaccount:n1:a", "system:serviceaccount:n2:b"]))
    identity = Identity(name, groups=tuple(draw(st.lists(NAMES, max_size=2, unique=True))))
    verb = draw(st.sampled_from(["get", "list", "watch"]))
    if draw(st.booleans()):
        return identity, path(draw(st.sampled_from(["/a", "/a/b", "/ab", "/"])), verb)
    return identity, ResourceAttributes(
        verb=verb,
        group=draw(st.sampled_from(["", "g", "h"])),
        resource=draw(st.sampled_from(["r", "s", "x"])),
        subresource=draw(st.sampled_from(["", "x", "y"])),
        namespace=draw(st.sampled_from(["", "n1", "n2"])),
        name=draw(st.sampled_from(["", "a", "b", "c"])),
    )


World = dict[tuple[str, str, str], Tree]


def naively(world: World, identity: Identity, info: ResourceAttributes) -> bool:
    """Walk all bindings and all rules, as the documentation of RBAC tells it."""

    def applies(subject: Tree, namespace: str) -> bool:
        if subject["kind"] == "User":
            return bool(subject["name"] == identity.name)
        if subject["kind"] == "Group":
            return subject["name"] in identity.groups
        home = subject.get("namespace") or namespace
        return bool(home) and identity.name == f"system:serviceaccount:{home}:{subject['name']}"

    def granted() -> Iterator[Tree]:
        for (resource, namespace, _), obj in world.items():
            if resource not in ("rolebindings", "clusterrolebindings"):
                continue
            if resource == "rolebindings" and namespace != info.namespace:
                continue
            if not any(applies(subject, namespace) for subject in obj["subjects"]):
                continue
            ref = obj["roleRef"]
            key = ("roles", namespace, ref["name"]) if ref["kind"] == "Role" else ("clusterroles", "", ref["name"])
            yield from world.get(key, {"rules": []})["rules"]

    def matches(each: Tree) -> bool:
        if not {"*", info.verb} & set(each["verbs"]):
            return False
        if not info.is_resource:
            urls = each.get("nonResourceURLs", [])
            return any(u in ("*", info.path) or (u[-1] == "*" and info.path.startswith(u[:-1])) for u in urls)
        wanted = {"*", f"{info.resource}/{info.subresource}", f"*/{info.subresource}"}
        if not info.subresource:
            wanted = {"*", info.resource}
        return (
            bool({"*", info.group} & set(each.get("apiGroups", [])))
            and bool(wanted & set(each.get("resources", [])))
            and (not each["resourceNames"] or info.name in each["resourceNames"])
        )

    return any(matches(each) for each in granted())


@settings(max_examples=300)
@given(st.lists(changes(), max_size=12), st.lists(questions(), min_size=1, max_size=6), st.booleans())
def test_the_index_agrees_with_a_naive_evaluator(
    history: list[tuple[str, str, str, Tree | None]],
    asked: list[tuple[Identity, ResourceAttributes]],
    at_once: bool,
) -> None:
    world: World = {}
    authorizer = rbac()
    for resource, namespace, name, obj in history:
        if obj is None:
            world.pop((resource, namespace, name), None)
        else:
            world[resource, namespace, name] = obj
        if not at_once:
            authorizer.apply(resource, f"{namespace}/{name}" if namespace else name, obj)
            for identity, info in asked:
                assert allowed(authorizer, identity, info) is naively(world, identity, info)
    if at_once:
        kinds = ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
        authorizer.replace(*([obj for key, obj in world.items() if key[0] == kind] for kind in kinds))
    for identity, info in asked:
        expected = naively(world, identity, info)
        assert allowed(authorizer, identity, info) is expected
        assert authorizer.explain(identity, info).allowed is expected
        assert any(_allows(each, info) for each in authorizer.rules_for(identity, info.namespace).rules) is expected


def _allows(each: Rule, info: ResourceAttributes) -> bool:
    if not info.is_resource:
        return each.allows_path(info.verb, info.path)
    return each.allows(info.verb, info.group, info.resource, info.subresource, info.name)


_SUBJECTS = st.lists(
    st.sampled_from([user("joe"), user("tina"), {"kind": "Group", "name": "dev"}, user("joe")]), max_size=3
)
_ROLE_RULES = st.lists(
    st.sampled_from(
        [rule(), rule("get list", names="a"), rule("*", "*", "*"), rule("list", names="a b"), paths("get", "/x*", "/y")]
    ),
    max_size=3,
)
_CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("roles"), st.sampled_from("rs"), st.none() | _ROLE_RULES),
        st.tuples(
            st.just("bindings"), st.sampled_from("bcd"), st.none() | st.tuples(st.sampled_from("rst"), _SUBJECTS)
        ),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(_CHANGES)
def test_changes_one_by_one_come_to_what_all_at_once_would(changes: Any) -> None:
    """Asked after each, so that the tables are there that are changed."""
    roles: dict[str, Tree] = {}
    bindings: dict[str, Tree] = {}
    grown = rbac()
    questions = [asks(), asks("list", name="b"), asks("delete", group="x"), path("/x1"), path("/y"), path("/z")]
    for kind, name, change in changes:
        if kind == "roles":
            obj = None if change is None else role(name, *change)
            grown.apply("clusterroles", f"/clusterroles/{name}", obj)
            roles.pop(name, None)
            if obj is not None:
                roles[name] = obj
        else:
            obj = None if change is None else binding(name, change[0], *change[1])
            grown.apply("clusterrolebindings", f"/clusterrolebindings/{name}", obj)
            bindings.pop(name, None)
            if obj is not None:
                bindings[name] = obj
        fresh = rbac(clusterroles=list(roles.values()), bindings=list(bindings.values()))
        for who in (JOE, Identity("tina")):
            for question in questions:
                found, expected = grown.authorize(who, question), fresh.authorize(who, question)
                assert found.allowed == expected.allowed
                assert sorted(found.reason) == sorted(expected.reason)
