"""Which fields a write changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.fields.compare import load_comparer
from hyperkube_machinery.fields.sets import children, difference, intersection, paths, union
from hyperkube_machinery.fields.shapes import load_shapes
from hyperkube_machinery.fields.typed import field_set
from hyperkube_machinery.schema import Schemas

POD = "io.k8s.api.core.v1.Pod"
SERVICE = "io.k8s.api.core.v1.Service"
CONFIG_MAP = "io.k8s.api.core.v1.ConfigMap"
CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"

_empty: dict[str, Any] = {"metadata": {}}


@pytest.mark.parametrize(
    ("definition", "old", "new", "changed", "removed"),
    [
        pytest.param(CONFIG_MAP, {"data": {"a": "1"}}, {"data": {"a": "1"}}, {}, {}, id="nothing"),
        pytest.param(CONFIG_MAP, {}, {"data": {"a": "1"}}, {"f:data": {".": {}, "f:a": {}}}, {}, id="a new map"),
        pytest.param(CONFIG_MAP, {}, {"data": {}}, {"f:data": {}}, {}, id="an empty map"),
        pytest.param(
            CONFIG_MAP,
            {"data": {"a": "1", "b": "2"}},
            {"data": {"a": "3"}},
            {"f:data": {"f:a": {}}},
            {"f:data": {"f:b": {}}},
            id="entries",
        ),
        pytest.param(CONFIG_MAP, {"data": {"a": "1"}}, {}, {}, {"f:data": {".": {}, "f:a": {}}}, id="a map that goes"),
        pytest.param(
            POD,
            {"spec": {"containers": None}},
            {"spec": {"containers": [{"name": "c", "resources": {}}]}},
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:resources": {}}}}},
            {},
            id="a list that Go always writes is no new field",
        ),
        pytest.param(
            POD,
            {"spec": {"nodeSelector": {"a": "1"}, "tolerations": []}},
            {"spec": {"nodeSelector": {"b": "1"}, "tolerations": [{"key": "k"}]}},
            {"f:spec": {"f:nodeSelector": {}, "f:tolerations": {}}},
            {},
            id="atomic values",
        ),
        pytest.param(
            SERVICE,
            {"spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "a"}, {"port": 81, "protocol": "TCP"}]}},
            {"spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "b"}]}},
            {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:name": {}}}}},
            {"f:spec": {"f:ports": {'k:{"port":81,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}}}}},
            id="items by their keys",
        ),
        pytest.param(
            SERVICE,
            {"spec": {"ports": [{"port": 80}]}},
            {"spec": {"ports": [{"port": 80, "protocol": "TCP"}]}},
            {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:protocol": {}}}}},
            {},
            id="a key that an item leaves out has its default",
        ),
        pytest.param(
            POD,
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["b", "c"]}},
            {"f:metadata": {"f:finalizers": {'v:"c"': {}}}},
            {"f:metadata": {"f:finalizers": {'v:"a"': {}}}},
            id="items by their values",
        ),
        pytest.param(
            POD,
            {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}]}},
            {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A"}]}]}},
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:env": {'k:{"name":"A"}': {}}}}}},
            {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {"f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}}}
                    }
                }
            },
            id="an item that gets a double",
        ),
        pytest.param(
            POD,
            {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A"}]}]}},
            {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "2"}]}]}},
            {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {"f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}}}
                    }
                }
            },
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:env": {'k:{"name":"A"}': {}}}}}},
            id="an item that loses its double",
        ),
        pytest.param(
            POD,
            {"spec": {"containers": [{"name": "c", "env": [{"name": "A"}, {"name": "A", "value": "1"}]}]}},
            {"spec": {"containers": [{"name": "c", "env": [{"name": "A"}, {"name": "A", "value": "2"}]}]}},
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:env": {'k:{"name":"A"}': {}}}}}},
            {},
            id="doubles that change",
        ),
        pytest.param(
            POD,
            {"metadata": {"name": "a", "generation": 1}},
            {"metadata": {"name": "b", "generation": 2, "uid": "u", "labels": {"a": "1"}}, "kind": "Pod"},
            {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}},
            {},
            id="what nobody owns",
        ),
        pytest.param(
            POD,
            {"metadata": {"ownerReferences": [{"uid": "u", "name": "a"}]}},
            {"metadata": {"ownerReferences": [{"uid": "u", "name": "b"}, {"uid": "v", "name": "c"}]}},
            {"f:metadata": {"f:ownerReferences": {'k:{"uid":"u"}': {}, 'k:{"uid":"v"}': {}}}},
            {},
            id="items that are atomic",
        ),
        pytest.param(
            CRD,
            {"spec": {"versions": [{"name": "v1"}]}},
            {"spec": {"versions": [{"name": "v1"}, {"name": "v2"}]}},
            {"f:spec": {"f:versions": {}}},
            {},
            id="a list that says nothing is atomic",
        ),
    ],
)
def test_changes(definition: str, old: Any, new: Any, changed: Any, removed: Any) -> None:
    compare = load_comparer().root(definition)
    assert compare(_empty | old, _empty | new) == (changed, removed)


_names = st.sampled_from("abc")
_texts = st.sampled_from(["1", "2"])
_ports = st.lists(
    st.fixed_dictionaries(
        {"port": st.integers(80, 82)}, optional={"name": _texts, "targetPort": st.sampled_from([1, "http"])}
    ),
    max_size=3,
    unique_by=lambda port: port["port"],
)
services = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(_names, _texts, max_size=3),
                "finalizers": st.lists(_names, unique=True, max_size=3),
            },
        )
    },
    optional={
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "ports": _ports,
                "selector": st.dictionaries(_names, _texts, max_size=2),
                "type": _texts,
                "externalIPs": st.lists(_texts, max_size=2),
            },
        )
    },
)


def normal(tree: Any) -> Any:
    return Schemas.load().walker(SERVICE).read(tree)[0]


@given(services, services)
def test_what_is_changed_one_way_is_changed_or_removed_the_other(one: Any, other: Any) -> None:
    one, other = normal(one), normal(other)
    compare = load_comparer().root(SERVICE)
    there, gone = compare(one, other)
    back, lost = compare(other, one)
    assert set(paths(union(there, gone))) == set(paths(union(back, lost)))
    assert not intersection(there, gone)
    assert there or gone or _in_order(one) == _in_order(other)  # the order of items is nobody's


def _in_order(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _in_order(value) for key, value in tree.items()}
    return sorted(map(_in_order, tree), key=repr) if isinstance(tree, list) else tree


@given(services)
def test_what_a_new_object_holds_is_what_its_configuration_mentions_and_what_that_stands_in(one: Any) -> None:
    one = normal(one)
    grown, _ = load_comparer().root(SERVICE)(normal({}), one)
    mentioned = field_set({name: one[name] for name in one if name in ("spec",)}, load_shapes().of(SERVICE))
    rest = difference(mentioned, grown)
    # Structs that are always there are mentioned by an empty value, but not new.
    assert set(paths(rest)) <= {("f:spec",)}
    leaves = {path for path in paths(grown) if not children(_at(grown, path))}
    assert {path for path in leaves if path[0] == "f:spec"} <= set(paths(mentioned)) | {("f:spec", "f:ports")}


def _at(fields: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        fields = fields[key]
    return fields
