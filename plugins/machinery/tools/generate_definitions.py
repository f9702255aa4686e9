"""Write `schema/definitions.json` from a Kubernetes source tree and the definitions of its OpenAPI document.

    python generate_definitions.py KUBERNETES/staging/src/k8s.io swagger.json OUT.json

What the wire form of a type is, its Go declaration says: the order of fields, which are written when empty, what is a
pointer, what error texts call a type, and the number of a field in protobuf. How lists merge, the OpenAPI definitions
say. Both are tables of facts; no text of either is copied. Run once for each Kubernetes version.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_DECLARATION = re.compile(r"^type (\w+) (struct \{|.+)$|^\t(\w+) (struct \{)$")
_FIELD = re.compile(r"^\t+(?:(\w+)\s+)?([\w.*\[\]{}]+)\s+`([^`]*)`")
_JSON_TAG = re.compile(r'json:"([^"]*)"')
_NUMBER = re.compile(r'protobuf:"\w+,(\d+)')
_IMPORT = re.compile(r'^(?:import)?\s+(?:(\w+)\s+)?"(k8s\.io/[^"]+)"', re.M)
_BUILTIN = {"string", "bool", "int32", "int64", "int", "float64", "byte", "uint8", "uint16", "uint32", "uint64"}
_MERGE = {
    "x-kubernetes-patch-strategy": "strategy",
    "x-kubernetes-patch-merge-key": "merge",
    "x-kubernetes-list-type": "list",
    "x-kubernetes-list-map-keys": "keys",
    "x-kubernetes-map-type": "map",
}


class Package:
    """The types that one Go package declares."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.prefix = prefix
        self.structs: dict[str, list[tuple[str, str, str, int]]] = {}  # (Go name, type, JSON tag, field number)
        self.named: dict[str, str] = {}
        for file in sorted(folder.glob("*.go")):
            if not file.name.startswith("zz_") and not file.name.endswith(("_test.go", ".pb.go")):
                self._read(file.read_text())

    def _read(self, source: str) -> None:
        imports = {name or path.rsplit("/", 1)[1]: prefix_of(path) for name, path in _IMPORT.findall(source)}
        lines = iter(source.splitlines())
        for line in lines:
            match = _DECLARATION.match(line)
            if not match:
                continue
            name = match[1] or match[3]
            if (match[2] or match[4]) != "struct {":
                base = (match[2] or "").split("//")[0].strip()
                if base == "struct{}":
                    self.structs[name] = []
                elif not base.startswith(("interface", "func", "=", "struct")):
                    self.named[name] = self._qualify(base, imports)
                continue
            fields = []
            for inner in lines:
                if inner.strip() == "}":
                    break
                field = _FIELD.match(inner)
                tag = field and _JSON_TAG.search(field[3])
                if field and tag:
                    number = _NUMBER.search(field[3])
                    told = int(number[1]) if number else 0
                    fields.append((field[1] or "", self._qualify(field[2], imports), tag[1], told))
            self.structs[name] = fields

    def _qualify(self, expression: str, imports: dict[str, str]) -> str:
        """`[]Container` as `[]io.k8s.api.core.v1.Container`."""

        def replace(match: re.Match[str]) -> str:
            word = match[0]
            if word in _BUILTIN or word == "map":
                return "bytes" if word == "byte" else word
            if "." in word:
                package, name = word.split(".")
                return f"{imports.get(package, package)}.{name}"
            return f"{self.prefix}.{word}"

        return re.sub(r"[A-Za-z_][\w.]*", replace, expression).replace("[]bytes", "bytes")


def prefix_of(path: str) -> str:
    """`k8s.io/api/core/v1` as OpenAPI names it: `io.k8s.api.core.v1`."""
    domain, rest = path.split("/", 1)
    return ".".join(reversed(domain.split("."))) + "." + rest.replace("/", ".")


def folder_of(root: Path, prefix: str) -> Path:
    """Where the package of an OpenAPI prefix lives; folder names hold no dots, some hold dashes."""
    return root / prefix.removeprefix("io.k8s.").replace(".", "/")


# Lists that are told apart from none, until they are refused: Go's defaults are for a nil slice alone.
EMPTY_SAYS_SOMETHING = {("io.k8s.api.autoscaling.v2.HPAScalingRules", "policies")}


class Generator:
    def __init__(self, root: Path, definitions: dict[str, Any]) -> None:
        self.root = root
        self.definitions = definitions
        self.packages: dict[str, Package] = {}
        self.types: dict[str, int] = {}
        self.named: dict[str, str] = {}

    def package(self, prefix: str) -> Package:
        if prefix not in self.packages:
            self.packages[prefix] = Package(folder_of(self.root, prefix), prefix)
        return self.packages[prefix]

    def struct(self, name: str) -> list[tuple[str, str, str, int]]:
        prefix, short = name.rsplit(".", 1)
        try:
            return self.package(prefix).structs[short]
        except KeyError:
            raise SystemExit(f"no struct {name} in {folder_of(self.root, prefix)}") from None

    def note_named(self, expression: str) -> None:
        for word in re.findall(r"io\.k8s\.[\w.-]+", expression):
            prefix, short = word.rsplit(".", 1)
            base = self.package(prefix).named.get(short)
            if base is not None and word not in self.named and word not in SPECIAL:
                self.named[word] = base
                self.note_named(base)

    def fields(self, name: str, inlined: tuple[str, ...] = (), outer: tuple[int, ...] = ()) -> list[list[Any]]:
        """Rows of name, type, when written if empty and field number, and of inlined ones the structs they stand in."""
        found: list[list[Any]] = []
        for go_name, expression, tag, number in self.struct(name):
            json_name, *options = tag.split(",")
            if json_name == "-":
                continue
            if not json_name and (not go_name or "inline" in options):
                short = expression.rsplit(".", 1)[1]
                found += self.fields(expression.lstrip("*"), (*inlined, short), (*outer, number))
                continue
            if (name, json_name) in EMPTY_SAYS_SOMETHING:
                expression = f"*{expression}"
            self.note_named(expression)
            index = self.types.setdefault(expression, len(self.types))
            kept = 1 if "omitzero" in options else 0 if "omitempty" in options else 2
            # Kind and apiVersion stand in a struct that has no number: they are not part of the message.
            entry: list[Any] = [json_name, index, kept, 0 if 0 in outer else number]
            if inlined:
                entry += [".".join(inlined), *(outer if 0 not in outer else ())]
            found.append(entry)
        return found

    def table(self) -> dict[str, Any]:
        definitions: dict[str, Any] = {}
        lists: dict[str, Any] = {}
        kinds: dict[str, str] = {}
        for name, schema in sorted(self.definitions.items()):
            if "properties" in schema or name.endswith("CustomResourceSubresourceStatus"):
                definitions[name] = self.fields(name)
                told = {entry[0] for entry in definitions[name]}
                listed = set(schema.get("properties", {}))
                if told != listed:
                    print(f"{name}: only in Go {told - listed}, only in OpenAPI {listed - told}", file=sys.stderr)
            merging = {
                field: facts
                for field, facts in (
                    (field, {short: p[long] for long, short in _MERGE.items() if long in p})
                    for field, p in schema.get("properties", {}).items()
                )
                if facts
            }
            if "x-kubernetes-map-type" in schema:
                merging[""] = {"map": schema["x-kubernetes-map-type"]}
            if merging:
                lists[name] = merging
            for gvk in schema.get("x-kubernetes-group-version-kind", ()):
                version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
                kinds[f"{version} {gvk['kind']}"] = name
        return {
            "kinds": kinds,
            "types": list(self.types),
            "named": dict(sorted(self.named.items())),
            "definitions": definitions,
            "lists": lists,
        }


SPECIAL = {
    "io.k8s.apimachinery.pkg.util.intstr.Type",
}


def write(table: dict[str, Any], out: Path) -> None:
    """One definition a line, so that a change of version is a readable diff."""
    parts = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows = ",\n".join(f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}:{{\n{rows}\n}}")
        else:
            rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value)
            parts.append(f"{json.dumps(key)}:[\n{rows}\n]")
    out.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def main() -> None:
    root, swagger, out = map(Path, sys.argv[1:])
    definitions = json.loads(swagger.read_text())
    write(Generator(root, definitions.get("definitions", definitions)).table(), out)


if __name__ == "__main__":
    main()
