"""Rules of custom resources, from their definition to the warnings that those hear who update objects."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

BOATS = "/apis/example.com/v1/namespaces/default/boats"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CREW = {
    "type": "integer",
    "x-kubernetes-validations": [
        {"rule": "self >= 0", "message": "nobody is less than nobody"},
        {"rule": "self >= oldSelf - 10", "message": "at most ten may leave at once"},
    ],
}
SEEN = {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]}
SPEC = {"crew": CREW, "name": {"type": "string", "maxLength": 20}}


def ruled(custom: Any, *rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A version whose spec has rules of its own."""
    version: dict[str, Any] = custom.version(spec=SPEC, **fields)
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    if rules:
        properties["spec"]["x-kubernetes-validations"] = list(rules)
    properties["status"] = {"type": "object", "properties": {"seen": SEEN}}
    return version


@pytest.fixture
async def boats(api: Any, custom: Any) -> Any:
    rule = {"rule": "self.name.startsWith('the ')", "fieldPath": ".name", "reason": "FieldValueForbidden"}
    await custom.define("boats", "Boat", ruled(custom, rule, subresources={"status": {}}))
    return api


async def test_an_object_that_breaks_a_rule_is_refused(boats: Any, custom: Any) -> None:
    reply = await boats.call("POST", BOATS, custom.made("Boat", "b", spec={"crew": -1, "name": "argo"}))
    assert reply.status == 422
    assert reply.json["details"]["causes"] == [
        {
            "reason": "FieldValueForbidden",
            "message": "Forbidden: failed rule: self.name.startsWith('the ')",
            "field": "spec.name",
        },
        {
            "reason": "FieldValueInvalid",
            "message": "Invalid value: -1: nobody is less than nobody",
            "field": "spec.crew",
        },
    ]


async def test_rules_are_not_asked_of_what_is_of_the_wrong_type(boats: Any, custom: Any) -> None:
    reply = await boats.call("POST", BOATS, custom.made("Boat", "b", spec={"crew": "many", "name": "argo"}))
    assert reply.status == 422
    assert "some validation rules were not checked because the object was invalid" in reply.json["message"]
    assert "startsWith" not in reply.json["message"]


async def test_an_update_is_compared_with_what_was_there(boats: Any, custom: Any) -> None:
    made = custom.made("Boat", "b", spec={"crew": 50, "name": "the argo"})
    assert (await boats.call("POST", BOATS, made)).status == 201
    reply = await boats.merge(f"{BOATS}/b", {"spec": {"crew": 1}})
    assert reply.status == 422
    assert reply.json["message"].endswith("spec.crew: Invalid value: 1: at most ten may leave at once")
    reply = await boats.merge(f"{BOATS}/b", {"spec": {"crew": 40}})
    assert reply.status == 200


async def test_who_updates_is_warned_of_what_was_wrong_before(api: Any, custom: Any) -> None:
    await custom.define("boats", "Boat", custom.version(spec={"crew": {"type": "integer"}, "name": SPEC["name"]}))
    made = custom.made("Boat", "b", spec={"crew": -5, "name": "argo"})
    assert (await api.call("POST", BOATS, made)).status == 201
    await custom.redefine("boats", "Boat", ruled(custom))
    reply = await api.merge(f"{BOATS}/b", {"spec": {"name": "x"}})
    assert reply.status == 200
    assert reply.warnings == ['299 - "spec.crew: Invalid value: -5: nobody is less than nobody"']
    reply = await api.merge(f"{BOATS}/b", {"spec": {"crew": -6}})
    assert reply.status == 422


async def test_a_status_is_asked_as_well(boats: Any, custom: Any) -> None:
    made = custom.made("Boat", "b", spec={"crew": 5, "name": "the argo"})
    assert (await boats.call("POST", BOATS, made)).status == 201
    reply = await boats.merge(f"{BOATS}/b/status", {"status": {"seen": -1}})
    assert reply.status == 422
    assert reply.json["message"].endswith("status.seen: Invalid value: -1: failed rule: self > 0")
    assert (await boats.merge(f"{BOATS}/b/status", {"status": {"seen": 1}})).status == 200


@pytest.mark.parametrize(
    ("rule", "field", "told"),
    [
        ({"rule": "self.nobody > 1"}, "rule", "compilation failed: ERROR: <input>:1:5: undefined field 'nobody'"),
        ({"rule": "self.crew"}, "rule", "cel expression must evaluate to a bool"),
        (
            {"rule": "true", "messageExpression": "1"},
            "messageExpression",
            "messageExpression must evaluate to a string",
        ),
        ({"rule": "true", "optionalOldSelf": True}, "optionalOldSelf", "may not be set if oldSelf is not used in rule"),
    ],
)
async def test_a_definition_with_a_rule_that_makes_no_sense_is_refused(
    api: Any, custom: Any, rule: dict[str, Any], field: str, told: str
) -> None:
    reply = await api.call("POST", DEFINITIONS, custom.definition("boats", "Boat", ruled(custom, rule)))
    assert reply.status == 422
    (cause,) = reply.json["details"]["causes"]
    path = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]"
    assert cause["field"] == f"{path}.{field}"
    assert told in cause["message"]
