"""Write `openapi/facts.json` from the OpenAPI documents of a Kubernetes API server.

    python generate_openapi_facts.py SWAGGER.json FOLDER-OF-V3-DOCUMENTS OUT.json

SWAGGER.json is what a server of that version answers at /openapi/v2, or its definitions; the folder holds what it
answers below /openapi/v3, a file each. Kept is what the Go types of fields don't tell: what is required, enumerations,
defaults other than zeros, unions, references that have neither default nor text beside them, and definitions that have
no fields. No text is copied. Run once for each Kubernetes version, after `generate_definitions.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hyperkube_apiserver.openapi import schemas
from hyperkube_machinery.schema.table import load_table

Tree = dict[str, Any]
EMPTY: Tree = {"leaves": {}, "required": {}, "enums": {}, "defaults": {}, "unions": {}, "bare": {}}


class Bare(schemas.Schemas):
    """What the tables tell without any facts."""

    def __init__(self) -> None:
        super().__init__(load_table())
        self._facts, self._texts = EMPTY, {"*": {}}


def facts(version_2: Tree, version_3: Tree) -> Tree:
    bare, table = Bare(), load_table()
    found: Tree = {name: {} for name in EMPTY}
    for name in sorted(version_2):
        told = version_3[name]
        if name not in table:
            kept = ("type", "format", "oneOf")
            found["leaves"][name] = {key: told[key] for key in kept if key in told}
            continue
        if "required" in told:
            found["required"][name] = told["required"]
        if "x-kubernetes-unions" in told:
            found["unions"][name] = told["x-kubernetes-unions"]
        derived = bare.schema(name).get("properties", {})
        for field, schema in told.get("properties", {}).items():
            if schema.get("default") != derived[field].get("default"):
                found["defaults"].setdefault(name, {})[field] = schema["default"]
            if "$ref" in schema:
                found["bare"].setdefault(name, []).append(field)
        for field, schema in version_2[name].get("properties", {}).items():
            if values := schemas.innermost(schema).get("enum"):
                found["enums"].setdefault(name, {})[field] = values
    return found


def write(table: Tree, out: Path) -> None:
    """One definition a line, so that a change of version is a readable diff."""
    parts = []
    for key, value in table.items():
        rows = ",\n".join(f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in value.items())
        parts.append(f"{json.dumps(key)}:{{\n{rows}\n}}")
    out.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def main() -> None:
    swagger, folder, out = map(Path, sys.argv[1:])
    version_2 = json.loads(swagger.read_text())
    version_3: Tree = {}
    for file in sorted(folder.glob("*.json")):
        version_3.update(json.loads(file.read_text()).get("components", {}).get("schemas", {}))
    write(facts(version_2.get("definitions", version_2), version_3), out)


if __name__ == "__main__":
    main()
