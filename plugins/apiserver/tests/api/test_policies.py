"""Admission by policies, from the policy to what a client is told."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
WRITES = {"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"]}
CONFIG_MAPS = {"resourceRules": [{**WRITES, "resources": ["configmaps"]}]}
ALL_DEPLOYMENTS = {
    "resourceRules": [
        {"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
    ]
}


def config_map(name: str = "one", **fields: Any) -> Tree:
    return {"metadata": {"name": name, **fields.pop("metadata", {})}, **fields}


def deployment(name: str = "d", **spec: Any) -> Tree:
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": pod, **spec},
    }


async def validate(
    api: Any,
    *expressions: str | Tree,
    name: str = "demo",
    actions: tuple[str, ...] = ("Deny",),
    binding: Tree | None = None,
    **spec: Any,
) -> None:
    """Put a validating policy into force."""
    validations = [{"expression": one} if isinstance(one, str) else one for one in expressions]
    spec = {"matchConstraints": CONFIG_MAPS, **({"validations": validations} if validations else {}), **spec}
    await api.create(f"{REGISTRATION}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
    bound = {"policyName": name, "validationActions": list(actions), **(binding or {})}
    await api.create(
        f"{REGISTRATION}/validatingadmissionpolicybindings", {"metadata": {"name": f"{name}-bound"}, "spec": bound}
    )


async def mutate(api: Any, *mutations: Tree, name: str = "demo", binding: Tree | None = None, **spec: Any) -> None:
    """Put a mutating policy into force."""
    spec = {"matchConstraints": CONFIG_MAPS, "mutations": list(mutations), "reinvocationPolicy": "Never", **spec}
    await api.create(f"{REGISTRATION}/mutatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
    await api.create(
        f"{REGISTRATION}/mutatingadmissionpolicybindings",
        {"metadata": {"name": f"{name}-bound"}, "spec": {"policyName": name, **(binding or {})}},
    )


def applying(expression: str) -> Tree:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patching(expression: str) -> Tree:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


async def refusal(api: Any, body: Tree | None = None, path: str = MAPS, status: int = 422) -> str:
    reply = await api.call("POST", path, body or config_map())
    assert reply.status == status, reply.body
    return str(reply.json["message"])


# Validating


async def test_a_policy_denies_what_does_not_hold(api: Any) -> None:
    await validate(api, "object.spec.replicas <= 2", matchConstraints=ALL_DEPLOYMENTS)
    reply = await api.call("POST", DEPLOYMENTS, deployment())
    message = (
        "ValidatingAdmissionPolicy 'demo' with binding 'demo-bound' denied request: "
        "failed expression: object.spec.replicas <= 2"
    )
    assert reply.status == 422
    assert reply.json["reason"] == "Invalid"
    assert reply.json["message"] == f'deployments.apps "d" is forbidden: {message}'
    assert reply.json["details"] == {
        "name": "d",
        "group": "apps",
        "kind": "deployments",
        "causes": [{"message": message}],
    }
    await api.create(DEPLOYMENTS, deployment(replicas=2))


async def test_an_expression_that_takes_long_is_evaluated_all_the_same(api: Any) -> None:
    """In another thread than what its questions are decided by."""
    slow = "object.data.all(k, object.data.all(l, size(k + l) < 100))"
    asked = "authorizer.group('').resource('pods').namespace('default').check('get').allowed()"
    await validate(api, f"{slow} && {asked}", f"!({slow}) || object.metadata.name != 'bad'")
    data = {f"key{number}": "" for number in range(100)}
    await api.create(MAPS, config_map(data=data))
    assert "object.metadata.name != 'bad'" in await refusal(api, config_map("bad", data=data))


@pytest.mark.parametrize(
    ("validation", "told"),
    [
        ({"message": " no data "}, "no data"),
        ({"messageExpression": "'map ' + object.metadata.name"}, "map one"),
        ({"messageExpression": "'a\\nb'", "message": "instead"}, "instead"),
        ({"messageExpression": "object.none", "message": "instead"}, "instead"),
        ({"messageExpression": "string(object.none)", "message": "instead"}, "instead"),
        ({"messageExpression": "''"}, "failed expression: has(object.data)"),
    ],
)
async def test_what_is_told_is_said_by_the_policy(api: Any, validation: Tree, told: str) -> None:
    if validation.get("messageExpression") == "object.none":
        validation = {**validation, "messageExpression": "string(object.none)"}
    await validate(api, {"expression": "has(object.data)", **validation})
    assert (await refusal(api)).endswith(f" denied request: {told}")


@pytest.mark.parametrize(("reason", "status"), [("Forbidden", 403), ("Invalid", 422), ("RequestEntityTooLarge", 413)])
async def test_the_reason_says_the_status(api: Any, reason: str, status: int) -> None:
    await validate(api, {"expression": "false", "reason": reason})
    reply = await api.call("POST", MAPS, config_map())
    assert (reply.status, reply.json["reason"]) == (status, reason)


async def test_warnings_and_notes_let_a_request_pass(api: Any) -> None:
    await validate(api, {"expression": "false", "message": "not so good"}, actions=("Warn", "Audit"))
    reply = await api.call("POST", MAPS, config_map())
    assert reply.status == 201
    told = "Validation failed for ValidatingAdmissionPolicy 'demo' with binding 'demo-bound': not so good"
    assert reply.warnings == [f'299 - "{told}"']


async def test_expressions_see_the_request_the_old_object_and_the_namespace(api: Any) -> None:
    await api.create(MAPS, config_map(data={"a": "b"}))
    await validate(
        api,
        "request.operation == 'UPDATE'",
        "oldObject.data.a == 'b' && object.data.a == 'c'",
        "namespaceObject.metadata.name == 'default' && namespaceObject.status.phase == 'Active'",
        "request.userInfo.username == 'admin' && 'system:masters' in request.userInfo.groups",
        "request.resource.resource == 'configmaps' && request.kind.kind == 'ConfigMap'",
        "!request.dryRun && request.namespace == 'default' && request.name == 'one'",
        "request.options.kind == 'UpdateOptions'",
        "!has(request.subResource)",
    )
    reply = await api.merge(f"{MAPS}/one", {"data": {"a": "c"}})
    assert reply.status == 200, reply.body


async def test_variables_are_shared_by_all_expressions(api: Any) -> None:
    await validate(
        api,
        {
            "expression": "variables.most > variables.count",
            "messageExpression": "'too many: ' + string(variables.count)",
        },
        variables=[
            {"name": "count", "expression": "has(object.data) ? size(object.data) : 0"},
            {"name": "most", "expression": "variables.count * 0 + 2"},
        ],
    )
    assert (await refusal(api, config_map(data={"a": "", "b": ""}))).endswith("many: 2")
    await api.create(MAPS, config_map())


async def test_a_variable_that_fails_is_told_where_it_is_used(api: Any) -> None:
    await validate(api, "variables.broken == 1", variables=[{"name": "broken", "expression": "object.none.none"}])
    why = 'composited variable "broken" fails to evaluate: no such key: none'
    assert (await refusal(api)).endswith(f"expression 'variables.broken == 1' resulted in error: {why}")


async def test_failures_deny_unless_they_are_ignored(api: Any) -> None:
    await validate(api, "object.none.none == 1")
    assert (await refusal(api)).endswith("expression 'object.none.none == 1' resulted in error: no such key: none")
    await api.delete(f"{REGISTRATION}/validatingadmissionpolicies/demo")
    await api.delete(f"{REGISTRATION}/validatingadmissionpolicybindings/demo-bound")
    await validate(api, "object.none.none == 1", failurePolicy="Ignore")
    await api.create(MAPS, config_map())


async def test_conditions_say_whether_a_policy_is_evaluated_at_all(api: Any) -> None:
    conditions = [{"name": "mine", "expression": "request.userInfo.username == 'jane'"}]
    await validate(api, "false", matchConditions=conditions)
    await api.create(MAPS, config_map())
    conditions = [{"name": "broken", "expression": "object.none.none == 1"}]
    await validate(api, "false", matchConditions=conditions, name="other")
    assert "no such key: none" in await refusal(api, config_map("two"))


async def test_a_binding_narrows_what_a_policy_is_about(api: Any) -> None:
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}
    await validate(api, "false", binding={"matchResources": selector})
    await api.create(MAPS, config_map())
    await api.create("/api/v1/namespaces", {"metadata": {"name": "other"}})
    assert "denied request" in await refusal(api, path="/api/v1/namespaces/other/configmaps")


async def test_names_and_exclusions_of_rules_count(api: Any) -> None:
    rule = {**WRITES, "resources": ["configmaps"]}
    constraints = {"resourceRules": [rule], "excludeResourceRules": [{**rule, "resourceNames": ["free"]}]}
    await validate(api, "false", matchConstraints=constraints)
    await api.create(MAPS, config_map("free"))
    await refusal(api, config_map("bound"))


async def test_a_policy_without_a_binding_does_nothing(api: Any) -> None:
    spec = {"matchConstraints": CONFIG_MAPS, "validations": [{"expression": "false"}]}
    await api.create(f"{REGISTRATION}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
    await api.create(MAPS, config_map())


async def test_the_authorizer_can_be_asked(api: Any) -> None:
    await validate(
        api,
        {
            "expression": "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()",
            "message": "no rights",
        },
        "authorizer.requestResource.check('create').allowed()",
        "!authorizer.serviceAccount('default', 'nobody').path('/metrics').check('get').allowed()",
    )
    await api.create(MAPS, config_map())
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]
    await api.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    await api.create(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {"metadata": {"name": "b"}, "subjects": [subject], "roleRef": role},
    )
    reply = await api.call("POST", MAPS, config_map("two"), token="jane-token")
    assert reply.json["message"].endswith("denied request: no rights")


async def test_a_costly_expression_is_stopped(api: Any) -> None:
    await validate(
        api,
        "object.data.a.split('').all(a, object.data.a.split('').all(b, object.data.a.split('').all(c, c != 'x')))",
    )
    told = await refusal(api, config_map(data={"a": "y" * 400}))
    assert "operation cancelled: actual cost limit exceeded" in told


PARAMS = {"apiVersion": "v1", "kind": "ConfigMap"}
BY_PARAMS = "!has(object.data) || !has(params.data) || size(object.data) <= int(params.data.most)"


@pytest.mark.parametrize(
    ("reference", "denied"),
    [
        ({"name": "limits", "parameterNotFoundAction": "Deny"}, True),
        ({"name": "limits", "namespace": "kube-public", "parameterNotFoundAction": "Allow"}, False),
        ({"selector": {"matchLabels": {"limits": "yes"}}, "parameterNotFoundAction": "Deny"}, True),
        ({"selector": {"matchLabels": {"limits": "no"}}, "parameterNotFoundAction": "Allow"}, False),
    ],
)
async def test_parameters_are_what_the_binding_names(api: Any, reference: Tree, denied: bool) -> None:
    await api.create(MAPS, config_map("limits", metadata={"labels": {"limits": "yes"}}, data={"most": "1"}))
    await validate(api, BY_PARAMS, paramKind=PARAMS, binding={"paramRef": reference})
    reply = await api.call("POST", MAPS, config_map(data={"a": "", "b": ""}))
    assert (reply.status == 422) is denied, reply.body


async def test_missing_parameters_deny_where_the_binding_says_so(api: Any) -> None:
    reference = {"name": "none", "parameterNotFoundAction": "Deny"}
    await validate(api, BY_PARAMS, paramKind=PARAMS, binding={"paramRef": reference})
    why = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert (await refusal(api)).endswith(why)


async def test_a_kind_of_parameters_that_is_not_served_denies(api: Any) -> None:
    kind = {"apiVersion": "rules.example.com/v1", "kind": "Limits"}
    reference = {"name": "none", "parameterNotFoundAction": "Deny"}
    await validate(api, "params.x == 1", paramKind=kind, binding={"paramRef": reference})
    why = "failed to find resource referenced by paramKind: 'rules.example.com/v1, Kind=Limits'"
    assert (await refusal(api)).endswith(
        f"ValidatingAdmissionPolicy 'demo' denied request: failed to configure policy: {why}"
    )


async def test_policies_are_no_business_of_policies(api: Any) -> None:
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    await validate(api, "false", matchConstraints={"resourceRules": [everything]})
    assert (await api.delete(f"{REGISTRATION}/validatingadmissionpolicybindings/demo-bound")).status == 200
    await api.create(MAPS, config_map())


async def test_another_version_is_converted_for_a_policy_that_names_one(api: Any) -> None:
    rule = {"operations": ["*"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["*"]}
    await validate(
        api,
        "object.apiVersion == 'autoscaling/v1' && object.spec.targetCPUUtilizationPercentage == 50",
        "request.requestKind.version == 'v2' && request.kind.version == 'v1'",
        matchConstraints={"resourceRules": [rule]},
    )
    target = {"type": "Utilization", "averageUtilization": 50}
    await api.create(
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
        {
            "metadata": {"name": "h"},
            "spec": {
                "maxReplicas": 3,
                "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            },
        },
    )


# Mutating


async def test_an_apply_configuration_is_merged_into_the_object(api: Any) -> None:
    await mutate(api, applying("Object{metadata: Object.metadata{labels: {'made': 'here'}}}"))
    made = await api.create(MAPS, config_map(metadata={"labels": {"own": "too"}}))
    assert made["metadata"]["labels"] == {"own": "too", "made": "here"}


async def test_items_of_lists_are_merged_by_their_keys(api: Any) -> None:
    await mutate(
        api,
        applying(
            "Object{spec: Object.spec{replicas: 1, template: Object.spec.template{spec: Object.spec.template.spec{"
            "initContainers: [Object.spec.template.spec.initContainers{name: 'first', image: 'i', "
            "restartPolicy: 'Always'}]}}}}"
        ),
        matchConstraints=ALL_DEPLOYMENTS,
    )
    made = await api.create(DEPLOYMENTS, deployment())
    assert made["spec"]["replicas"] == 1
    (first,) = made["spec"]["template"]["spec"]["initContainers"]
    assert first["imagePullPolicy"] == "Always"


async def test_a_json_patch_is_applied(api: Any) -> None:
    await mutate(
        api,
        patching(
            "[JSONPatch{op: 'test', path: '/data/a', value: 'b'}, "
            "JSONPatch{op: 'replace', path: '/data/a', value: 'c'}, "
            "JSONPatch{op: 'add', path: '/metadata/labels', value: {}}, "
            "JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('x/y'), value: 'z'}]"
        ),
    )
    made = await api.create(MAPS, config_map(data={"a": "b"}))
    assert made["data"] == {"a": "c"}
    assert made["metadata"]["labels"] == {"x/y": "z"}
    other = await api.create(MAPS, config_map("other", data={"a": "other"}))
    assert other["data"] == {"a": "other"}


async def test_mutations_follow_one_another_and_are_asked_again(api: Any) -> None:
    await mutate(
        api,
        applying("Object{data: {'count': has(object.data) ? object.data.count + '+' : ''}}"),
        name="a",
        reinvocationPolicy="IfNeeded",
    )
    await mutate(api, applying("Object{metadata: Object.metadata{labels: {'b': 'yes'}}}"), name="b")
    made = await api.create(MAPS, config_map())
    assert made["data"] == {"count": "+"}
    assert made["metadata"]["labels"] == {"b": "yes"}


@pytest.mark.parametrize(
    ("mutation", "why"),
    [
        (applying("Object{data: {'a': string(object.none)}}"), "resulted in error: no such key: none"),
        (
            applying("Object{metadata: Object.wrong{name: 'x'}}"),
            'type mismatch: unexpected type name "Object.wrong", expected "Object.metadata", '
            "which matches field name path from root Object type",
        ),
        (
            applying("Object{none: 'x'}"),
            "error applying patch: failed to convert patch object to typed object: .none: field not declared in schema",
        ),
        (
            patching("[JSONPatch{op: 'remove', path: '/data/none'}]"),
            'JSON Patch: remove operation does not apply: doc is missing path: "/data/none": missing value',
        ),
    ],
)
async def test_a_mutation_that_fails_denies(api: Any, mutation: Tree, why: str) -> None:
    await mutate(api, mutation)
    reply = await api.call("POST", MAPS, config_map())
    assert (reply.status, reply.json["reason"]) == (403, "Invalid"), reply.body
    assert reply.json["message"].startswith("policy 'demo' with binding 'demo-bound' denied request: ")
    assert reply.json["message"].endswith(why)


async def test_atomic_fields_are_not_replaced_unawares(api: Any) -> None:
    await mutate(
        api,
        applying("Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}"),
        matchConstraints=ALL_DEPLOYMENTS,
    )
    reply = await api.call("POST", DEPLOYMENTS, deployment())
    why = "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector"
    assert reply.json["message"].endswith(f"error applying patch: {why}")


async def test_conditions_and_parameters_count_for_mutations(api: Any) -> None:
    await api.create(MAPS, config_map("values", data={"team": "blue"}))
    await mutate(
        api,
        applying("Object{metadata: Object.metadata{labels: {'team': params.data.team}}}"),
        paramKind=PARAMS,
        binding={"paramRef": {"name": "values", "parameterNotFoundAction": "Deny"}},
        matchConditions=[{"name": "unlabelled", "expression": "!has(object.metadata.labels)"}],
    )
    assert (await api.create(MAPS, config_map()))["metadata"]["labels"] == {"team": "blue"}
    labelled = config_map("two", metadata={"labels": {"own": "x"}})
    assert (await api.create(MAPS, labelled))["metadata"]["labels"] == {"own": "x"}


# Rights

JANES_ROLE = {
    "metadata": {"name": "r"},
    "rules": [
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["limits"]},
    ],
}
JANE = "user &{jane 2 [developers system:authenticated] map[]}"


async def test_nobody_has_policies_read_what_he_may_not(api: Any) -> None:
    rights = "/apis/rbac.authorization.k8s.io/v1"
    await api.create(f"{rights}/clusterroles", JANES_ROLE)
    subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "b"}, "subjects": [subject], "roleRef": role}
    await api.create(f"{rights}/clusterrolebindings", binding)
    spec = {"matchConstraints": CONFIG_MAPS, "validations": [{"expression": "params != null"}], "paramKind": PARAMS}
    policy = {"metadata": {"name": "demo"}, "spec": spec}
    reply = await api.call("POST", f"{REGISTRATION}/validatingadmissionpolicies", policy, token="jane-token")
    why = 'must have "get" permission on all objects of the referenced paramKind (kind=ConfigMap, apiVersion=v1)'
    cause = {"reason": "FieldValueForbidden", "message": f"Forbidden: {JANE} {why}", "field": "spec.paramKind"}
    assert reply.json["details"]["causes"] == [cause]
    await api.create(f"{REGISTRATION}/validatingadmissionpolicies", policy)

    async def bind(reference: Tree) -> Any:
        reference = {"parameterNotFoundAction": "Deny", **reference}
        spec = {"policyName": "demo", "validationActions": ["Deny"], "paramRef": reference}
        body = {"metadata": {"name": "demo"}, "spec": spec}
        path = f"{REGISTRATION}/validatingadmissionpolicybindings"
        return await api.call("POST", path, body, token="jane-token")

    reply = await bind({"selector": {}})
    why = 'does not have "list" permission on the object referenced by paramRef'
    assert [one["message"] for one in reply.json["details"]["causes"]] == [f"Forbidden: {JANE} {why}"]
    assert (await bind({"name": "other"})).status == 422
    assert (await bind({"name": "limits"})).status == 201


LIMITS = "/apis/example.com/v1/namespaces/default/limits"


async def test_custom_resources_are_parameters_and_objects_of_policies(api: Any, custom: Any) -> None:
    version = custom.version(spec={"most": {"type": "integer", "default": 1}})
    await custom.define("limits", "Limit", version)
    await api.create(LIMITS, custom.made("Limit", "maps", spec={}))
    await validate(
        api,
        {"expression": "size(object.data) <= params.spec.most", "messageExpression": "string(params.kind)"},
        paramKind={"apiVersion": "example.com/v1", "kind": "Limit"},
        binding={"paramRef": {"name": "maps", "parameterNotFoundAction": "Deny"}},
    )
    await api.create(MAPS, config_map(data={"a": ""}))
    assert (await refusal(api, config_map("two", data={"a": "", "b": ""}))).endswith(" Limit")
    rule = {"operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["limits"]}
    await mutate(
        api,
        applying("Object{spec: Object.spec{most: object.spec.most + 5}}"),
        matchConstraints={"resourceRules": [rule]},
    )
    made = await api.create(LIMITS, custom.made("Limit", "other", spec={}))
    assert made["spec"] == {"most": 6}
