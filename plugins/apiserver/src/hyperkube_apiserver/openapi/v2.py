"""The document of OpenAPI 2, which tells of everything at once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from hyperkube_apiserver.openapi.custommodels import Models
from hyperkube_apiserver.openapi.parameters import Parameter
from hyperkube_apiserver.openapi.paths import TEXT, Operation, Path
from hyperkube_apiserver.openapi.phrases import ANSWERS, BEARER
from hyperkube_apiserver.openapi.schemas import Schemas, in_version_2
from hyperkube_machinery.encoding import encode

__all__ = ["document"]

Tree = dict[str, Any]

_PREFIX = "#/definitions/"
_GENERIC = "io.k8s.apimachinery"
# Older kubectls look for these in an operation itself, to learn what the server can do.
_UNSHARED = ("dryRun", "fieldValidation", "name")


def document(info: Tree, paths: Sequence[Path], schemas: Schemas | Models) -> Tree:
    """The document of `paths`; what is large in it is an iterator of names and trees."""
    definitions = schemas.closure(name for path in paths for name in path.definitions())
    shared = _shared(paths)
    return {
        "swagger": "2.0",
        "info": info,
        "paths": _paths(paths, shared),
        "definitions": ((name, in_version_2(schemas.schema(name))) for name in definitions),
        "parameters": dict(sorted((name, tree) for name, tree in shared.values())),
        "securityDefinitions": BEARER,
        "security": [{"BearerToken": []}],
    }


Shared = dict[bytes, tuple[str, Tree]]


def _shared(paths: Sequence[Path]) -> Shared:
    """Parameters that operations refer to, with their names, by their encoding."""
    shared: Shared = {}
    for path in paths:
        for tree in _all_parameters(path):
            schema = tree.get("schema", {}).get("$ref", _PREFIX + _GENERIC)
            if tree["name"] in _UNSHARED or not schema.startswith(_PREFIX + _GENERIC):
                continue
            encoded = encode(tree)
            digest = base64.urlsafe_b64encode(hashlib.sha256(encoded).digest())[:8].decode()
            shared.setdefault(encoded, (f"{tree['name']}-{digest}", tree))
    return shared


def _all_parameters(path: Path) -> Iterator[Tree]:
    yield from map(_parameter, path.parameters)
    for operation in path.operations:
        yield from _parameters(operation)


def _paths(paths: Sequence[Path], shared: Shared) -> Iterator[tuple[str, Tree]]:
    def short(tree: Tree) -> Tree:
        known = shared.get(encode(tree))
        return tree if known is None else {"$ref": f"#/parameters/{known[0]}"}

    for path in sorted(paths, key=lambda one: one.path):
        item: Tree = {}
        for operation in path.operations:
            item[operation.method] = _operation(operation)
            if own := list(_parameters(operation)):
                item[operation.method]["parameters"] = list(map(short, own))
        if path.parameters:
            item["parameters"] = [short(_parameter(one)) for one in path.parameters]
        yield path.path, item


def _operation(operation: Operation) -> Tree:
    tree: Tree = {
        "description": operation.description,
        "operationId": operation.identifier,
        "produces": list(operation.produces),
        "schemes": ["https"],
        "tags": [operation.tag],
    }
    if operation.consumes:
        tree["consumes"] = list(operation.consumes)
    responses: Tree = {}
    for code, answer in operation.answers.items():
        schema = {"type": "string"} if answer == TEXT else {"$ref": _PREFIX + answer}
        responses[str(code)] = {"description": ANSWERS[code], "schema": schema}
    tree["responses"] = {**responses, "401": {"description": ANSWERS[401]}}
    return tree | operation.extensions()


def _parameters(operation: Operation) -> Iterator[Tree]:
    if operation.body is not None:
        tree: Tree = {"name": "body", "in": "body", "schema": {"$ref": _PREFIX + operation.body.definition}}
        if operation.body.required:
            tree["required"] = True
        yield tree
    yield from map(_parameter, operation.parameters)


def _parameter(parameter: Parameter) -> Tree:
    tree: Tree = {
        "name": parameter.name,
        "in": parameter.where,
        "type": parameter.type,
        "description": parameter.description,
        "uniqueItems": True,
    }
    if parameter.where == "path":
        tree["required"] = True
    return tree
