"""Reviews of access and identity: questions that are answered and never stored."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

SARS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SELF_SARS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
LOCAL_SARS = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews"
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
GET_PODS = {"namespace": "default", "verb": "get", "resource": "pods"}


async def bind(api: Any, user: str, verbs: list[str]) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]
    group = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await api.create(f"{group}/roles", {"metadata": {"name": "r"}, "rules": rules})
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    await api.create(f"{group}/rolebindings", {"metadata": {"name": "b"}, "roleRef": ref, "subjects": [subject]})
    await api.api.hub.fresh()


async def messages(api: Any, path: str, spec: Any, **metadata: Any) -> dict[str, str]:
    """What is wrong with a review, by field."""
    reply = await api.call("POST", path, {"metadata": metadata, "spec": spec})
    status = reply.json
    assert (reply.status, status["reason"]) == (422, "Invalid"), status
    assert status["message"].startswith('.authorization.k8s.io "" is invalid: ')
    assert status["details"].keys() == {"group", "causes"}, "a review has lost its kind by then"
    return {cause["field"]: cause["message"] for cause in status["details"]["causes"]}


async def test_a_review_tells_whether_and_why(api: Any) -> None:
    await bind(api, "jane", ["get"])
    review = await api.create(SARS, {"spec": {"user": "jane", "resourceAttributes": GET_PODS}})
    assert review["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "b/default" of Role "r" to User "jane"',
    }
    assert (review["kind"], review["apiVersion"]) == ("SubjectAccessReview", "authorization.k8s.io/v1")
    assert review["spec"] == {"user": "jane", "resourceAttributes": GET_PODS}
    delete = {**GET_PODS, "verb": "delete"}
    review = await api.create(SARS, {"spec": {"user": "jane", "resourceAttributes": delete}})
    assert review["status"] == {"allowed": False}


async def test_a_review_tells_who_asked_for_what(api: Any) -> None:
    body = {"spec": {"resourceAttributes": {"verb": "get"}}}
    review = await api.create(f"{SELF_SARS}?fieldManager=me", body)
    (entry,) = review["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("me", "Update", "authorization.k8s.io/v1")
    assert entry["fieldsV1"] == {"f:spec": {"f:resourceAttributes": {".": {}, "f:verb": {}}}}


async def test_a_review_of_oneself_is_about_who_asks(api: Any) -> None:
    await bind(api, "jane", ["get"])
    body = {"spec": {"resourceAttributes": GET_PODS}}
    assert (await api.create(SELF_SARS, body, token="jane-token"))["status"]["allowed"] is True
    everywhere = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    assert (await api.create(SELF_SARS, everywhere, token="jane-token"))["status"] == {"allowed": False}
    acting = {"impersonate_user": "joe"}
    assert (await api.create(SELF_SARS, body, **acting))["status"] == {"allowed": False}
    path = {"spec": {"nonResourceAttributes": {"path": "/version", "verb": "get"}}}
    assert (await api.create(SELF_SARS, path, token="jane-token"))["status"]["allowed"] is True


async def test_a_role_that_is_not_there_is_told_in_the_reason(api: Any) -> None:
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "none"}
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}
    body = {"metadata": {"name": "b"}, "roleRef": ref, "subjects": [subject]}
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert (await api.call("POST", path, body)).status in (201, 404)
    # An administrator may bind to what is not there.
    review = await api.create(SARS, {"spec": {"user": "jane", "resourceAttributes": GET_PODS}})
    assert review["status"] == {
        "allowed": False,
        "reason": 'RBAC: clusterrole.rbac.authorization.k8s.io "none" not found',
    }


async def test_a_review_must_ask_one_thing_about_somebody(api: Any) -> None:
    path = {"path": "/", "verb": "get"}
    one = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
    assert await messages(api, SELF_SARS, {}) == {"spec.resourceAttributes": one}
    both = {"resourceAttributes": GET_PODS, "nonResourceAttributes": path}
    why = 'Invalid value: {"Path":"/","Verb":"get"}: cannot be specified in combination with resourceAttributes'
    assert await messages(api, SELF_SARS, both) == {"spec.nonResourceAttributes": why}
    assert await messages(api, SARS, {"resourceAttributes": GET_PODS}) == {
        "spec.user": 'Invalid value: "": at least one of user or group must be specified'
    }
    assert await messages(api, SARS, {}) == {
        "spec.resourceAttributes": one,
        "spec.user": 'Invalid value: "": at least one of user or group must be specified',
    }


async def test_a_review_has_no_metadata(api: Any) -> None:
    spec = {"resourceAttributes": GET_PODS}
    told = (await messages(api, SELF_SARS, spec, name="x"))["metadata"]
    assert told.startswith('Invalid value: {"name":"x","managedFields":[{')
    assert told.endswith("}]}: must be empty")
    told = (await messages(api, LOCAL_SARS, {**spec, "user": "u"}, labels={"a": "b"}))["metadata"]
    assert told.startswith('Invalid value: {"namespace":"default","labels":{"a":"b"},"managedFields":[{')
    assert told.endswith("}]}: must be empty except for namespace")
    ignored = {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{"manager": "m"}]}
    assert (await api.call("POST", SELF_SARS, {"metadata": ignored, "spec": spec})).status == 201


async def test_a_local_review_stays_in_its_namespace(api: Any) -> None:
    review = await api.create(LOCAL_SARS, {"spec": {"user": "u", "resourceAttributes": GET_PODS}})
    assert review["metadata"].keys() == {"namespace", "managedFields"}
    other = {"user": "u", "resourceAttributes": {**GET_PODS, "namespace": "other"}}
    field = "spec.resourceAttributes.namespace"
    assert await messages(api, LOCAL_SARS, other) == {field: 'Invalid value: "other": must match metadata.namespace'}
    path = {"user": "u", "nonResourceAttributes": {"path": "/", "verb": "get"}}
    assert (await messages(api, LOCAL_SARS, path))["spec.nonResourceAttributes"].endswith(
        "disallowed on this kind of request"
    )
    reply = await api.call("POST", LOCAL_SARS, {"metadata": {"namespace": "x"}, "spec": other})
    assert reply.status == 400


FIELDS, LABELS = "spec.resourceAttributes.fieldSelector", "spec.resourceAttributes.labelSelector"


@pytest.mark.parametrize(
    ("selector", "wrong"),
    [
        ({"fieldSelector": {}}, {f"{FIELDS}.requirements": "Required value: when %s is specified"}),
        ({"labelSelector": {}}, {f"{LABELS}.requirements": "Required value: when %s is specified"}),
        (
            {"fieldSelector": {"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]}},
            {f"{FIELDS}.rawSelector": 'Invalid value: "a=b": may not specified at the same time as requirements'},
        ),
        (
            {"fieldSelector": {"requirements": [{"key": "", "operator": "In"}]}},
            {
                f"{FIELDS}.requirements[0].key": "Required value: must be specified",
                f"{FIELDS}.requirements[0].values": "Required value: must be specified when `operator` is 'In'",
            },
        ),
        (
            {"labelSelector": {"requirements": [{"key": "-", "operator": "Exists", "values": ["$"]}]}},
            {
                f"{LABELS}.requirements[0].values": "Forbidden: may not be specified when `operator` is 'Exists' or",
                f"{LABELS}.requirements[0].key": 'Invalid value: "-": name part must consist of',
                f"{LABELS}.requirements[0].values[0]": 'Invalid value: "$": a valid label must be an empty string or',
            },
        ),
    ],
)
async def test_selectors_of_a_review_are_checked(api: Any, selector: Any, wrong: dict[str, str]) -> None:
    found = await messages(api, SELF_SARS, {"resourceAttributes": {**GET_PODS, **selector}})
    assert found.keys() == wrong.keys()
    for field, text in wrong.items():
        assert found[field].startswith(text.replace("%s", field.removesuffix(".requirements")))


@pytest.mark.parametrize(
    ("selector", "error"),
    [
        ({"fieldSelector": {"rawSelector": "spec.nodeName=n1"}}, ""),
        ({"fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}}, ""),
        ({"fieldSelector": {"requirements": [{"key": "a", "operator": "Foo"}]}}, f"{FIELDS} ignored"),
        ({"fieldSelector": {"rawSelector": "a"}}, f"{FIELDS} ignored"),
        ({"labelSelector": {"rawSelector": "a in"}}, f"{LABELS} ignored"),
        (
            {
                "fieldSelector": {
                    "requirements": [
                        {"key": "spec.nodeName", "operator": "In", "values": ["n1"]},
                        {"key": "a", "operator": "In", "values": ["b", "c"]},
                    ]
                }
            },
            f"{FIELDS} partially ignored",
        ),
        (
            {"labelSelector": {"requirements": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "New"}]}},
            f"{LABELS} partially ignored",
        ),
    ],
)
async def test_an_authorizer_is_told_of_what_can_be_read_of_a_selector(api: Any, selector: Any, error: str) -> None:
    asked = {"verb": "list", "resource": "pods", **selector}
    spec = {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": asked}
    status = (await api.create(SARS, {"spec": spec}))["status"]
    assert status["allowed"] is (not error or ("partially" in error and "field" in error))
    assert status.get("evaluationError", "") == (f"{error} due to parse error" if error else "")


async def test_rules_of_oneself_are_listed(api: Any) -> None:
    await bind(api, "jane", ["get", "list"])
    review = await api.create(RULES, {"spec": {"namespace": "default"}}, token="jane-token")
    assert review["spec"] == {}
    status = review["status"]
    mine = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}
    assert mine in status["resourceRules"]
    assert {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"]} in (
        status["nonResourceRules"]
    )
    assert (status["incomplete"], "evaluationError" in status) == (False, False)
    elsewhere = await api.create(RULES, {"spec": {"namespace": "kube-system"}}, token="jane-token")
    assert mine not in elsewhere["status"]["resourceRules"]


async def test_the_rules_of_a_node_cant_all_be_listed(api: Any) -> None:
    node = {"impersonate_user": "system:node:n1", "impersonate_group": "system:nodes"}
    status = (await api.create(RULES, {"spec": {"namespace": "default"}}, **node))["status"]
    assert status["incomplete"] is True
    assert status["evaluationError"] == "node authorizer does not support user rule resolution"


async def test_rules_are_asked_for_in_a_namespace(api: Any) -> None:
    reply = await api.call("POST", RULES, {"spec": {}})
    assert (reply.status, reply.json["message"]) == (400, "no namespace on request")


async def test_a_user_can_ask_who_it_is(api: Any) -> None:
    review = await api.create(SELF, {"metadata": {"name": "ignored"}}, token="jane-token")
    assert review["metadata"].keys() == {"creationTimestamp"}
    groups = ["developers", "system:authenticated"]
    assert review["status"] == {"userInfo": {"username": "jane", "uid": "2", "groups": groups}}


async def test_a_token_is_reviewed(api: Any) -> None:
    review = await api.create(TOKENS, {"spec": {"token": "jane-token"}})
    assert review["status"] == {
        "authenticated": True,
        "user": {"username": "jane", "uid": "2", "groups": ["developers", "system:authenticated"]},
        "audiences": ["api", "https://issuer.example"],
    }
    assert review["spec"] == {"token": "jane-token"}
    review = await api.create(TOKENS, {"spec": {"token": "other"}})
    assert review["status"] == {"user": {}, "error": "invalid bearer token"}
    review = await api.create(TOKENS, {"spec": {"token": "jane-token", "audiences": ["x", "api"]}})
    assert review["status"]["audiences"] == ["api"]
    reply = await api.call("POST", TOKENS, {"spec": {}})
    assert (reply.status, reply.json["message"]) == (400, "token is required for TokenReview in authentication")


async def test_reviews_are_nothing_but_created(api: Any) -> None:
    for path in (SARS, SELF_SARS, LOCAL_SARS, RULES, SELF, TOKENS):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            assert (await api.call(method, path, {})).status == 405, f"{method} {path}"
        assert (await api.get(f"{path}/x")).status == 404
        assert (await api.call("POST", f"{path}/x/status", {})).status == 404
    unscoped = "/apis/authorization.k8s.io/v1/localsubjectaccessreviews"
    assert (await api.call("POST", unscoped, {})).status == 404
    assert (await api.call("POST", SARS.replace("/v1/", "/v1/namespaces/default/"), {})).status == 404
    assert (await api.call("POST", SARS.replace("v1", "v1beta1"), {})).status == 404


async def test_reviews_are_read_as_other_bodies_are(api: Any) -> None:
    yaml = b"kind: SelfSubjectReview\napiVersion: authentication.k8s.io/v1\nextra: 1\n"
    reply = await api.call("POST", SELF, yaml, content_type="application/yaml")
    assert reply.status == 201
    assert reply.warnings == ['299 - "unknown field \\"extra\\""']
    strict = await api.call("POST", f"{SELF}?fieldValidation=Strict", {"extra": 1})
    assert (strict.status, "unknown field" in strict.json["message"]) == (400, True)
    other = await api.call("POST", SELF, {"kind": "Pod", "apiVersion": "v1"})
    assert other.status == 400
    assert (await api.call("POST", SELF, b"{}", content_type="text/plain")).status == 415
    dry = await api.call("POST", f"{SELF}?dryRun=All", {})
    assert dry.status == 201
    assert (await api.call("POST", f"{SELF}?dryRun=Some", {})).status == 422


async def test_reviews_are_answered_as_other_objects_are(api: Any) -> None:
    yaml = await api.call("POST", SELF, {}, accept="application/yaml")
    assert yaml.content_type == "application/yaml"
    assert b"kind: SelfSubjectReview" in yaml.body
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    assert (await api.call("POST", SELF, {}, accept=table)).status == 406
    either = await api.call("POST", SELF, {}, accept=f"{table},application/json")
    assert either.json["kind"] == "SelfSubjectReview"
    partial = await api.call("POST", SELF, {}, accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
    assert partial.json["kind"] == "PartialObjectMetadata"


async def test_who_may_ask_is_a_matter_of_roles(api: Any) -> None:
    for path in (SARS, LOCAL_SARS, TOKENS):
        assert (await api.call("POST", path, {}, token="jane-token")).status == 403
    assert (await api.call("POST", SELF, {}, token="")).status == 403, "nobody in particular may not even ask that"
