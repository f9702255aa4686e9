"""Acting as somebody else, in each of the modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.authz import (
    AlwaysAllow,
    Decision,
    LastModes,
    PromptAuthorizer,
    ResourceAttributes,
    impersonate,
)
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.remembering import Latest

if TYPE_CHECKING:
    from hyperkube_apiserver.authz.attributes import Attributes

ADMIN = Identity("admin", groups=("system:masters", "system:authenticated"))
JOE = Identity("joe", groups=("system:authenticated",))
LIST = ResourceAttributes(verb="list", resource="pods", namespace="ns")


def acting_as(
    identity: Identity, headers: dict[str, str], authorizer: PromptAuthorizer, info: ResourceAttributes
) -> Identity:
    """As `impersonate`, where a value with ", " in it stands for a header that came more than once."""
    repeated = {name: value.split(", ") for name, value in headers.items() if ", " in value}
    return impersonate(identity, headers, authorizer, info, repeated)


class Granted:
    """Allows what is listed as `verb group/resource[/subresource] name`, and remembers what was asked."""

    def __init__(self, *grants: str) -> None:
        self.grants = grants
        self.asked: list[str] = []

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        question = f"{info.verb} {info.group}/{resource} {info.namespace}:{info.name}"
        self.asked.append(question)
        return Decision(question in self.grants)


def test_without_headers_everybody_is_who_they_are() -> None:
    nobody = Granted()
    assert acting_as(JOE, {"accept": "*/*"}, nobody, LIST) is JOE
    assert nobody.asked == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"impersonate-user": "u"}, Identity("u", groups=("system:authenticated",))),
        (
            {"impersonate-user": "u", "impersonate-group": "g1, g2", "impersonate-uid": "uid-1"},
            Identity("u", "uid-1", ("g1", "g2", "system:authenticated")),
        ),
        (
            {"impersonate-user": "u", "impersonate-extra-scopes": "s1, s2", "impersonate-extra-a%2fb": "x"},
            Identity("u", groups=("system:authenticated",), extra={"scopes": ("s1", "s2"), "a/b": ("x",)}),
        ),
        (
            {"impersonate-user": "system:serviceaccount:ns1:sa1"},
            Identity(
                "system:serviceaccount:ns1:sa1",
                groups=("system:serviceaccounts", "system:serviceaccounts:ns1", "system:authenticated"),
            ),
        ),
        (
            {"impersonate-user": "system:serviceaccount:ns1:sa1", "impersonate-group": "g"},
            Identity("system:serviceaccount:ns1:sa1", groups=("g", "system:authenticated")),
        ),
        ({"impersonate-user": "system:anonymous"}, Identity("system:anonymous", groups=("system:unauthenticated",))),
        (
            {"impersonate-user": "u", "impersonate-group": "system:unauthenticated"},
            Identity("u", groups=("system:unauthenticated",)),
        ),
        (
            {"impersonate-user": "u", "impersonate-group": "system:masters"},
            Identity("u", groups=("system:masters", "system:authenticated")),
        ),
    ],
)
def test_the_headers_say_who_to_be(headers: dict[str, str], expected: Identity) -> None:
    assert acting_as(ADMIN, headers, AlwaysAllow(), LIST) == expected


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"impersonate-group": "x"}, 'UID:"", Groups:[]string{"x"}, Extra:map[string][]string(nil)'),
        ({"impersonate-uid": "1"}, 'UID:"1", Groups:[]string(nil), Extra:map[string][]string(nil)'),
        (
            {"impersonate-extra-b": "1, 2", "impersonate-extra-a": "3"},
            'UID:"", Groups:[]string(nil), Extra:map[string][]string{"a":[]string{"3"}, "b":[]string{"1", "2"}}',
        ),
    ],
)
def test_a_user_must_be_named(headers: dict[str, str], shown: str) -> None:
    with pytest.raises(APIError) as refused:
        acting_as(ADMIN, headers, AlwaysAllow(), LIST)
    assert refused.value.code == 400
    assert str(refused.value) == (f'requested &user.DefaultInfo{{Name:"", {shown}}} without impersonating a user name')


def test_the_oldest_right_is_enough_for_everything() -> None:
    grants = Granted(
        "impersonate /users :u",
        "impersonate /groups :g",
        "impersonate authentication.k8s.io/uids :1",
        "impersonate authentication.k8s.io/userextras/scopes :s",
    )
    headers = {
        "impersonate-user": "u",
        "impersonate-group": "g",
        "impersonate-uid": "1",
        "impersonate-extra-scopes": "s",
    }
    assert acting_as(JOE, headers, grants, LIST).name == "u"
    for missing in grants.grants:
        fewer = Granted(*(grant for grant in grants.grants if grant != missing))
        with pytest.raises(APIError) as refused:
            acting_as(JOE, headers, fewer, LIST)
        assert refused.value.code == 403


def test_a_refusal_is_that_of_the_first_mode() -> None:
    with pytest.raises(APIError) as refused:
        acting_as(JOE, {"impersonate-user": "u"}, Granted(), LIST)
    assert str(refused.value) == (
        'pods is forbidden: User "joe" cannot impersonate-on:user-info:list resource "pods" '
        'in API group "" in the namespace "ns"'
    )
    with pytest.raises(APIError) as refused:
        acting_as(JOE, {"impersonate-user": "u"}, Granted("impersonate-on:user-info:list /pods ns:"), LIST)
    assert str(refused.value) == (
        'users.authentication.k8s.io "u" is forbidden: User "joe" cannot impersonate:user-info resource "users" '
        'in API group "authentication.k8s.io" at the cluster scope'
    )


def test_a_constrained_right_is_for_one_kind_of_request() -> None:
    grants = Granted("impersonate-on:user-info:list /pods ns:", "impersonate:user-info authentication.k8s.io/users :u")
    assert acting_as(JOE, {"impersonate-user": "u"}, grants, LIST).name == "u"
    with pytest.raises(APIError):
        acting_as(JOE, {"impersonate-user": "u"}, grants, ResourceAttributes(verb="delete", resource="pods"))


def test_constrained_rights_never_reach_masters() -> None:
    grants = Granted(
        "impersonate-on:user-info:list /pods ns:",
        "impersonate:user-info authentication.k8s.io/users :u",
        "impersonate:user-info authentication.k8s.io/groups :system:masters",
        "impersonate:user-info authentication.k8s.io/groups :*",
    )
    headers = {"impersonate-user": "u", "impersonate-group": "system:masters"}
    with pytest.raises(APIError, match="impersonating the system:masters group is not allowed"):
        acting_as(JOE, headers, grants, LIST)


def test_many_groups_may_be_granted_at_once() -> None:
    headers = {"impersonate-user": "u", "impersonate-group": "a, b, c, d"}
    base = ("impersonate-on:user-info:list /pods ns:", "impersonate:user-info authentication.k8s.io/users :u")
    all_groups = Granted(*base, "impersonate:user-info authentication.k8s.io/groups :*")
    assert acting_as(JOE, headers, all_groups, LIST).groups == ("a", "b", "c", "d", "system:authenticated")
    each = Granted(*base, *(f"impersonate:user-info authentication.k8s.io/groups :{name}" for name in "abcd"))
    assert acting_as(JOE, headers, each, LIST).groups[-2] == "d"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("scopes", 'must be a domain-prefixed path (such as "acme.io/foo")'),
        ("a_b/c", "a lowercase RFC 1123 subdomain"),
        ("acme.io/a<", "Invalid path"),
    ],
)
def test_constrained_rights_want_extra_keys_of_a_domain(key: str, why: str) -> None:
    grants = Granted("impersonate-on:user-info:list /pods ns:", "impersonate:user-info authentication.k8s.io/users :u")
    with pytest.raises(APIError) as refused:
        acting_as(JOE, {"impersonate-user": "u", f"impersonate-extra-{key}": "x"}, grants, LIST)
    assert why in str(refused.value)


def test_constrained_rights_to_extra_keys() -> None:
    grants = Granted(
        "impersonate-on:user-info:list /pods ns:",
        "impersonate:user-info authentication.k8s.io/users :u",
        "impersonate:user-info authentication.k8s.io/userextras/acme.io/x :1",
    )
    headers = {"impersonate-user": "u", "impersonate-extra-acme.io%2fx": "1"}
    assert acting_as(JOE, headers, grants, LIST).extra == {"acme.io/x": ("1",)}


def test_service_accounts_and_nodes_have_modes_of_their_own() -> None:
    account = Granted(
        "impersonate-on:serviceaccount:list /pods ns:",
        "impersonate:serviceaccount authentication.k8s.io/serviceaccounts ns1:sa1",
    )
    found = acting_as(JOE, {"impersonate-user": "system:serviceaccount:ns1:sa1"}, account, LIST)
    assert found.groups[0] == "system:serviceaccounts"
    node = Granted(
        "impersonate-on:arbitrary-node:list /pods ns:", "impersonate:arbitrary-node authentication.k8s.io/nodes :n1"
    )
    found = acting_as(JOE, {"impersonate-user": "system:node:n1"}, node, LIST)
    assert found.groups == ("system:nodes", "system:authenticated")


def test_a_service_account_may_act_as_its_own_node() -> None:
    agent = Identity("system:serviceaccount:ns:agent", extra={"authentication.kubernetes.io/node-name": ("n1",)})
    grants = Granted(
        "impersonate-on:associated-node:list /pods ns:", "impersonate:associated-node authentication.k8s.io/nodes :*"
    )
    assert acting_as(agent, {"impersonate-user": "system:node:n1"}, grants, LIST).name == "system:node:n1"
    with pytest.raises(APIError):
        acting_as(agent, {"impersonate-user": "system:node:n2"}, grants, LIST)


def test_a_comma_in_a_value_makes_no_two_of_it() -> None:
    headers = {"impersonate-user": "u", "impersonate-group": "a, system:masters", "impersonate-extra-x": "1, 2"}
    found = impersonate(ADMIN, headers, AlwaysAllow(), LIST)
    assert "system:masters" not in found.groups
    assert found.groups[0] == "a, system:masters"
    assert found.extra == {"x": ("1, 2",)}


def test_the_mode_that_allowed_something_last_is_tried_first_and_its_refusal_told() -> None:
    last: LastModes = Latest(10)
    grants = Granted("impersonate /users :u")
    for told in ("impersonate-on:user-info:list", "impersonate resource"):
        with pytest.raises(APIError, match=told):
            impersonate(JOE, {"impersonate-user": "other"}, grants, LIST, last=last)
        assert impersonate(JOE, {"impersonate-user": "u"}, grants, LIST, last=last).name == "u"
