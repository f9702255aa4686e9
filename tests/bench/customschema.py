"""What the schema of a custom resource costs: `python -m tests.bench.customschema`.

The schema is one with a pod template in it, as operators have them. What is compiled of it is timed and weighed part by
part, and what is asked of each object stands beside `orjson.loads` of the same body in the same run.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import orjson

from hyperkube_apiserver.crd.schema import CustomSchema
from hyperkube_apiserver.crd.schema.compiled import Compiled
from hyperkube_machinery.schema.table import Table, Type, load_table
from tests.bench.figures import microseconds, report
from tests.bench.schema import Figure, pod_spec

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLS = 200
_REPEATS = 9
_MOST_MILLISECONDS = 50  # to compile one part of a schema of this size
_UNUSED = 1000
_MOST_UNUSED_BYTES = 4096  # that a schema may weigh which nobody has asked anything

Tree = dict[str, Any]

_SCALARS: dict[str, Tree] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "float64": {"type": "number"},
    "bytes": {"type": "string", "format": "byte"},
    "time": {"type": "string", "format": "date-time"},
    "microtime": {"type": "string", "format": "date-time"},
    "intorstring": {"x-kubernetes-int-or-string": True},
    "quantity": {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]+))?$",
    },
}


def schema_with(*templates: str) -> Tree:
    """The schema of a resource whose spec has pod templates in the fields named."""
    table = load_table()
    template = _schema(table, table.type("io.k8s.api.core.v1.PodTemplateSpec"))
    size = {"type": "integer", "minimum": 0, "default": 1}
    spec: Tree = {"type": "object", "properties": {"size": size, **dict.fromkeys(templates, template)}}
    return {"type": "object", "properties": {"spec": spec}}


def _schema(table: Table, type_: Type) -> Tree:
    if type_.kind in _SCALARS:
        return {**_SCALARS[type_.kind], "description": "What people are told of it."}
    if type_.kind == "struct":
        merging = table.lists.get(type_.definition, {})
        fields = table.fields(type_.definition)
        return {"type": "object", "properties": {one.name: _field(table, one, merging) for one in fields}}
    if type_.element is None:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    inner = _schema(table, type_.element)
    if type_.kind == "list":
        return {"type": "array", "items": inner}
    return {"type": "object", "additionalProperties": inner}


def _field(table: Table, field: Any, merging: Any) -> Tree:
    schema = _schema(table, field.type)
    if (told := merging.get(field.name, {})).get("list") == "map":
        keys = list(told["keys"])
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}
    return schema


def count(schema: Any) -> int:
    """How many schemas there are in one."""
    if not isinstance(schema, dict):
        return 0
    inner = [schema.get("items"), schema.get("additionalProperties"), *(schema.get("properties") or {}).values()]
    return 1 + sum(map(count, inner))


def compiling(schema: Tree) -> bool:
    """Time and weigh each part; whether all were quick."""
    kept = True
    for part in ("is_clean", "fill", "is_valid", "rules", "shape", "compare"):
        getattr(Compiled(schema), part)  # what is imported for it is not the schema's
        tracemalloc.start()
        compiled = Compiled(schema)
        getattr(compiled, part)
        weight = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        compiled = Compiled(schema)
        began = time.perf_counter()
        getattr(compiled, part)
        took = (time.perf_counter() - began) * 1000
        kept = kept and took <= _MOST_MILLISECONDS
        print(f"compile {part:<36} {took:8.1f} ms   {weight / 1e6:6.2f} MB")
    return kept


def unused() -> bool:
    """Weigh schemas that nobody asks anything."""
    tracemalloc.start()
    kept = [
        CustomSchema(group="example.com", version="v1", kind=f"Widget{index}", load=lambda: None)
        for index in range(_UNUSED)
    ]
    weight = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    print(f"{'one that is not used':<44} {weight:8.0f} bytes")
    return weight <= _MOST_UNUSED_BYTES


def asking(schema: Tree) -> bool:
    """Time what is asked of each object; whether nothing took too long beside parsing."""
    custom = CustomSchema(group="example.com", version="v1", kind="Widget", load=lambda: schema)
    obj = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default", "labels": {"app": "w"}},
        "spec": {"size": 1, "template": {"metadata": {"labels": {"app": "w"}}, "spec": pod_spec()}},
    }
    body = orjson.dumps(obj)
    tree, _ = custom.read(body, "application/json", "Strict")
    steps: list[tuple[str, Callable[[], Any], float]] = [
        ("read, prune and fill in defaults", lambda: custom.read(body, "application/json", "Strict"), 25),
        ("the same of what was stored", lambda: custom.restore(orjson.loads(body)), 20),
        ("validate", lambda: custom.validate(tree), 15),
        ("validate an update", lambda: custom.validate_update(tree, obj), 15),
    ]
    parse = microseconds(lambda: orjson.loads(body), calls=_CALLS, repeats=_REPEATS)
    figures = [
        Figure(what, microseconds(step, calls=_CALLS, repeats=_REPEATS), parse, limit) for what, step, limit in steps
    ]
    return report(figures) == 0


def main() -> int:
    schema = schema_with("template", "canary", "job", "hook")
    print(f"a schema of {count(schema)} nodes, {len(orjson.dumps(schema))} bytes")
    return int(not all((compiling(schema), unused(), asking(schema))))


if __name__ == "__main__":
    sys.exit(main())
