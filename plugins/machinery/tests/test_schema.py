"""Objects held against their definitions: what is pruned, refused, and how it is written."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_machinery.schema import Literal, Schemas, WrongType
from hyperkube_machinery.schema.table import SCHEMA_DEFINITION

if TYPE_CHECKING:
    from hyperkube_machinery.schema.table import Type

_WIRE_FORMS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "wire_forms.json").read_text())
_CORE = "io.k8s.api.core.v1."


def _walk(definition: str, tree: dict[str, Any]) -> list[str]:
    return Schemas.load().walker(definition).walk(tree).strict


def _pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def _refusal(definition: str, tree: dict[str, Any]) -> str:
    with pytest.raises(WrongType) as raised:
        _walk(definition, tree)
    return str(raised.value)


@pytest.mark.parametrize("name", _WIRE_FORMS)
def test_what_the_api_answers_is_in_normal_form_already(name: str) -> None:
    answer = _WIRE_FORMS[name]
    definition = Schemas.load().definition_of(answer["apiVersion"], answer["kind"])
    assert definition is not None
    tree = copy.deepcopy(answer)
    assert _walk(definition, tree) == []
    assert tree == answer


@pytest.mark.parametrize("name", _WIRE_FORMS)
def test_empty_values_and_nulls_beside_an_answer_change_nothing(name: str) -> None:
    answer = _WIRE_FORMS[name]
    schemas = Schemas.load()
    definition = schemas.definition_of(answer["apiVersion"], answer["kind"])
    assert definition is not None
    tree = _with_empty_values(copy.deepcopy(answer), schemas.table.type(definition))
    assert _walk(definition, tree) == []
    assert tree == answer


def _with_empty_values(tree: Any, type_: Type) -> Any:
    """Every absent field filled with null, every optional list with an empty one."""
    if type_.kind == "struct" and isinstance(tree, dict):
        for field in Schemas.load().table.fields(type_.definition):
            if field.name in tree:
                tree[field.name] = _with_empty_values(tree[field.name], field.type)
            else:
                tree[field.name] = [] if field.type.kind == "list" and not field.type.pointer else None
    elif type_.element is not None and isinstance(tree, list):
        return [_with_empty_values(item, type_.element) for item in tree]
    elif type_.element is not None and isinstance(tree, dict):
        return {key: _with_empty_values(item, type_.element) for key, item in tree.items()}
    return tree


def test_every_definition_compiles_and_takes_an_empty_object() -> None:
    schemas = Schemas.load()
    for definition in schemas.table:
        tree: dict[str, Any] = {}
        assert _walk(definition, tree) == []
        again = copy.deepcopy(tree)
        assert _walk(definition, again) == []
        assert again == tree


def test_fields_stand_in_the_order_of_the_wire_form() -> None:
    tree = {
        "status": {},
        "spec": {"nodeName": "n", "containers": []},
        "metadata": {},
        "apiVersion": "v1",
        "kind": "Pod",
    }
    _walk(_CORE + "Pod", tree)
    assert list(tree) == ["kind", "apiVersion", "metadata", "spec", "status"]
    assert list(tree["spec"]) == ["containers", "nodeName"]


def test_fields_that_go_always_writes_are_filled_in() -> None:
    tree: dict[str, Any] = {}
    _walk("io.k8s.api.apps.v1.Deployment", tree)
    assert tree == {
        "metadata": {},
        "spec": {
            "selector": None,
            "template": {"metadata": {}, "spec": {"containers": None}},
            "strategy": {},
        },
        "status": {},
    }


def test_a_pointer_to_an_empty_value_is_kept_where_a_plain_one_is_left_out() -> None:
    tree = _pod(securityContext={}, hostNetwork=False, automountServiceAccountToken=False, priority=0, nodeName="")
    _walk(_CORE + "Pod", tree)
    assert tree["spec"]["securityContext"] == {}
    assert tree["spec"]["automountServiceAccountToken"] is False
    assert tree["spec"]["priority"] == 0
    assert not {"hostNetwork", "nodeName"} & tree["spec"].keys()


def test_null_in_a_list_or_map_is_the_zero_value() -> None:
    tree = _pod(containers=[None], nodeSelector={"a": None}, overhead={"cpu": None})
    _walk(_CORE + "Pod", tree)
    assert tree["spec"] == {
        "containers": [{"name": "", "resources": {}}],
        "nodeSelector": {"a": ""},
        "overhead": {"cpu": "0"},
    }


def test_quantities_times_and_base64_are_canonical() -> None:
    tree = _pod(overhead={"cpu": "1000m", "memory": "1024Mi", "x": 2})
    tree["metadata"]["creationTimestamp"] = "2026-01-02T05:04:05.9+02:00"
    _walk(_CORE + "Pod", tree)
    assert tree["spec"]["overhead"] == {"cpu": "1", "memory": "1Gi", "x": "2"}
    assert tree["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"
    secret = {"data": {"a": "YW\nI=", "b": ""}}
    _walk(_CORE + "Secret", secret)
    assert secret["data"] == {"a": "YWI=", "b": ""}


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("YWI", 0),
        ("YWJjZA", 4),
        ("YW\nI", 1),
        ("Y!I=", 1),
        ("=", 0),
        ("Y===", 1),
        ("YQ=x", 2),
        ("YQ=", 3),
        ("YQ==x", 4),
    ],
)
def test_broken_base64_is_told_with_gos_position(text: str, position: int) -> None:
    assert _refusal(_CORE + "Secret", {"data": {"a": text}}) == f"illegal base64 data at input byte {position}"


@pytest.mark.parametrize("text", ["YWI=", "YW\r\nI=", "YQ=\n=", "YQ==\n", ""])
def test_base64_may_hold_line_ends(text: str) -> None:
    tree = {"data": {"a": text}}
    assert _walk(_CORE + "Secret", tree) == []
    assert "\n" not in tree["data"]["a"]


@pytest.mark.parametrize(
    ("definition", "tree", "message"),
    [
        ("Pod", {"spec": {"overhead": {"cpu": True}}}, "quantities must match the regular expression"),
        ("Pod", {"spec": {"overhead": {"cpu": []}}}, "quantities must match the regular expression"),
        (
            "Pod",
            {"metadata": {"creationTimestamp": {}}},
            "cannot unmarshal object into Go struct field ObjectMeta.metadata.",
        ),
        ("Event", {"eventTime": "2026-01-01T00:00:00Z"}, 'cannot parse "Z" as ".000000"'),
        (
            "Service",
            {"spec": {"ports": [{"targetPort": 2**31}]}},
            "number 2147483648 into Go struct field ServicePort.spec.p",
        ),
        (
            "Service",
            {"spec": {"ports": [{"targetPort": []}]}},
            "array into Go struct field ServicePort.spec.ports.targetPort",
        ),
        (
            "Secret",
            {"data": {"a": 1}},
            "json: cannot unmarshal number into Go struct field Secret.data of type []uint8",
        ),
        (
            "Secret",
            {"immutable": "x"},
            "json: cannot unmarshal string into Go struct field Secret.immutable of type bool",
        ),
        ("Pod", {"spec": []}, "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
    ],
)
def test_values_that_decode_themselves_have_words_of_their_own(
    definition: str, tree: dict[str, Any], message: str
) -> None:
    assert message in _refusal(_CORE + definition, tree)


def test_the_zero_time_is_no_time() -> None:
    tree = {"metadata": {"creationTimestamp": "0001-01-01T00:00:00Z"}, "firstTimestamp": "0001-01-01T00:00:00Z"}
    _walk(_CORE + "Event", tree)
    assert "creationTimestamp" not in tree["metadata"]
    assert tree["firstTimestamp"] is None


def test_unknown_fields_are_pruned_and_told_in_document_order() -> None:
    tree = _pod(zz=1, aa={"b": [1]})
    tree["spec"]["containers"][0]["ports"] = [{"containerPort": 1}, {"containerPort": 2, "no": 1}]
    tree["Spec"] = {}
    assert _walk(_CORE + "Pod", tree) == [
        'unknown field "spec.containers[0].ports[1].no"',
        'unknown field "spec.zz"',
        'unknown field "spec.aa"',
        'unknown field "Spec"',
    ]
    assert tree["spec"] == {
        "containers": [
            {"name": "c", "image": "i", "ports": [{"containerPort": 1}, {"containerPort": 2}], "resources": {}}
        ]
    }


def test_no_more_than_a_hundred_unknown_fields_are_told() -> None:
    tree: dict[str, Any] = {f"x{number}": 1 for number in range(150)}
    assert len(_walk(_CORE + "ConfigMap", tree)) == 100
    assert tree == {"metadata": {}}


def test_raw_values_are_kept_as_they_are() -> None:
    data: dict[str, Any] = {"any": [None, {"thing": {}}, []]}
    tree = {"revision": 1, "data": data}
    _walk("io.k8s.api.apps.v1.ControllerRevision", tree)
    assert tree == {"metadata": {}, "data": {"any": [None, {"thing": {}}, []]}, "revision": 1}


@pytest.mark.parametrize(
    ("spec", "value", "field", "type_"),
    [
        ({"containers": {}}, "object", "PodSpec.spec.containers", "[]v1.Container"),
        ({"dnsPolicy": 5}, "number", "PodSpec.spec.dnsPolicy", "v1.DNSPolicy"),
        ({"priority": 2**31}, "number 2147483648", "PodSpec.spec.priority", "int32"),
        ({"priority": True}, "bool", "PodSpec.spec.priority", "int32"),
        ({"priority": 1.5}, "number 1.5", "PodSpec.spec.priority", "int32"),
        ({"nodeSelector": []}, "array", "PodSpec.spec.nodeSelector", "map[string]string"),
        ({"nodeSelector": {"a": 1}}, "number", "PodSpec.spec.nodeSelector", "string"),
        ({"volumes": [{"secret": 1}]}, "number", "Volume.spec.volumes.VolumeSource.secret", "v1.SecretVolumeSource"),
        ({"overhead": 1}, "number", "PodSpec.spec.overhead", "v1.ResourceList"),
        ({"securityContext": "x"}, "string", "PodSpec.spec.securityContext", "v1.PodSecurityContext"),
    ],
)
def test_a_wrong_type_is_worded_as_go_words_it(spec: dict[str, Any], value: str, field: str, type_: str) -> None:
    expected = f"json: cannot unmarshal {value} into Go struct field {field} of type {type_}"
    assert _refusal(_CORE + "Pod", _pod(**spec)) == expected


def test_the_first_wrong_type_is_told_unless_a_value_that_decodes_itself_is_wrong() -> None:
    assert "hostNetwork" in _refusal(_CORE + "Pod", _pod(hostNetwork=1, hostIPC=2))
    assert _refusal(_CORE + "Pod", _pod(hostNetwork=1, overhead={"cpu": "x"})).startswith("quantities must match")


def test_a_refused_tree_is_left_as_it_was() -> None:
    tree = _pod(overhead={"cpu": "1000m"}, unknown=1, hostNetwork="x")
    before = copy.deepcopy(tree)
    _refusal(_CORE + "Pod", tree)
    assert tree == before


def test_a_normalised_tree_shares_no_map_with_what_it_was_made_of() -> None:
    tree = _pod(nodeSelector={"a": "b"})
    normal, _ = Schemas.load().walker(_CORE + "Pod").read(tree)
    normal["spec"]["nodeSelector"]["c"] = "d"
    assert tree["spec"]["nodeSelector"] == {"a": "b"}


def test_integers_and_strings_share_a_field() -> None:
    tree = {"spec": {"minAvailable": "50%", "maxUnavailable": 0}}
    _walk("io.k8s.api.policy.v1.PodDisruptionBudget", tree)
    assert tree["spec"] == {"minAvailable": "50%", "maxUnavailable": 0}
    refused = _refusal("io.k8s.api.policy.v1.PodDisruptionBudget", {"spec": {"minAvailable": True}})
    assert refused == (
        "json: cannot unmarshal bool into Go struct field PodDisruptionBudgetSpec.spec.minAvailable of type int32"
    )


def test_schemas_inside_schemas_are_walked() -> None:
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    tree = {
        "properties": {"a": {"items": {"type": "string", "nullable": False}, "additionalProperties": False}},
        "minimum": 1.0,
        "enum": [1, None, "x"],
    }
    assert _walk(name, tree) == []
    assert tree == {
        "minimum": 1,
        "enum": [1, None, "x"],
        "properties": {"a": {"items": {"type": "string"}, "additionalProperties": False}},
    }
    assert _walk(name, {"properties": {"a": {"bogus": 1}}}) == ['unknown field "properties.a.bogus"']


_SCHEMAS = Schemas.load()


def _values(type_: Type, depth: int) -> st.SearchStrategy[Any]:
    """Trees that fit a type, with nulls and empty values, and some that do not fit."""
    kind = type_.kind
    if kind == "struct":
        fields = _SCHEMAS.table.fields(type_.definition)
        if depth == 0:
            return st.just({})
        chosen = st.sets(st.sampled_from(fields), max_size=4) if fields else st.just(set())
        return chosen.flatmap(
            lambda some: st.fixed_dictionaries(
                {field.name: st.none() | _values(field.type, depth - 1) for field in some}
            )
        )
    if kind == "list":
        assert type_.element is not None
        return st.lists(st.none() | _values(type_.element, depth), max_size=2)
    if kind == "map":
        assert type_.element is not None
        return st.dictionaries(st.text(max_size=3), st.none() | _values(type_.element, depth), max_size=2)
    return {
        "string": st.text(max_size=3),
        "bool": st.booleans(),
        "int32": st.integers(-(2**31), 2**31 - 1),
        "int64": st.integers(-(2**63), 2**63 - 1),
        "float64": st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False),
        "bytes": st.sampled_from(["", "YWI=", "YQ=="]),
        "quantity": st.sampled_from(["0", "1000m", "1.5Gi", "12e3", 7]),
        "time": st.sampled_from(["2026-01-02T03:04:05Z", "0001-01-01T00:00:00Z", "1999-12-31T23:59:59.5-01:00"]),
        "microtime": st.sampled_from(["2026-01-02T03:04:05.000006Z", "1999-12-31T23:59:59.123456-01:00"]),
        "intorstring": st.sampled_from([0, 5, "", "50%"]),
        "raw": st.sampled_from([{"a": [1]}, [], "x", 1]),
    }.get(kind, st.just({}))


@pytest.mark.parametrize("kind", ["Pod", "Service", "Event", "Secret", "PersistentVolume", "Node"])
@settings(max_examples=40)
@given(data=st.data())
def test_a_walk_is_idempotent_and_the_exact_way_agrees_with_the_fast_one(kind: str, data: st.DataObject) -> None:
    definition = _CORE + kind
    tree = data.draw(_values(_SCHEMAS.table.type(definition), 5))
    walker = _SCHEMAS.walker(definition)
    normal, findings = walker.read(tree)
    assert findings == []
    assert walker.read(normal) == (normal, [])
    # An unknown field sends the same tree the exact way.
    assert walker.read({**tree, "unknown": 1}) == (normal, ['unknown field "unknown"'])
    assert list(walker.read({**tree, "unknown": 1})[0]) == list(normal)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"items": [True]}, "json: cannot unmarshal bool into Go value of type v1.JSONSchemaProps"),
        ({"additionalProperties": "x"}, "boolean or JSON schema expected"),
        ({"dependencies": {"a": [1]}}, "json: cannot unmarshal number into Go value of type string"),
    ],
)
def test_what_is_no_json_schema_is_refused(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(WrongType, match=re.escape(why)):
        Schemas.load().walker(SCHEMA_DEFINITION).read(schema)


def test_a_number_of_any_length_is_told() -> None:
    walker = Schemas.load().walker("io.k8s.api.core.v1.PodSpec")
    with pytest.raises(WrongType, match=r"cannot unmarshal number 1{5000} into"):
        walker.read({"priority": Literal.of("1" * 5000)})


def test_numbers_beyond_64_bits_stay_what_can_be_written() -> None:
    definition = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    tree, strict = Schemas.load().walker(definition).read({"maximum": 1e20, "minimum": 2.0})
    assert (orjson.loads(orjson.dumps(tree)), strict) == ({"maximum": 1e20, "minimum": 2}, [])
