"""Documents of OpenAPI 3: one for each group version, and for a few paths beside those."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hyperkube_apiserver.openapi.custommodels import Models
from hyperkube_apiserver.openapi.parameters import Parameter
from hyperkube_apiserver.openapi.paths import TEXT, Operation, Path
from hyperkube_apiserver.openapi.phrases import ANSWERS, BEARER
from hyperkube_apiserver.openapi.schemas import PREFIX, Schemas

__all__ = ["custom_document", "document"]

Tree = dict[str, Any]


def document(
    info: Tree, paths: Sequence[Path], schemas: Schemas | Models, group_version: tuple[str, str] | None
) -> Tree:
    """The document of `paths`; what is large in it is an iterator of names and trees."""
    named = (name for path in paths for name in path.definitions())
    components: Tree = {"securitySchemes": BEARER}
    if definitions := schemas.closure(named):
        components["schemas"] = ((name, schemas.schema(name, group_version)) for name in definitions)
    return {"openapi": "3.0.0", "info": info, "paths": _paths(paths), "components": components}


def custom_document(paths: Sequence[Path], schemas: Models) -> Tree:
    """The document of `paths` of custom resources, which says less of the server."""
    definitions = schemas.closure(name for path in paths for name in path.definitions())
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"},
        "paths": _paths(paths),
        "components": {"schemas": ((name, schemas.schema(name)) for name in definitions)},
    }


def _paths(paths: Sequence[Path]) -> Iterator[tuple[str, Tree]]:
    for path in sorted(paths, key=lambda one: one.path):
        item: Tree = {operation.method: _operation(operation) for operation in path.operations}
        if path.parameters:
            item["parameters"] = list(map(_parameter, path.parameters))
        yield path.path, item


def _operation(operation: Operation) -> Tree:
    tree: Tree = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.identifier,
    }
    if operation.parameters:
        tree["parameters"] = list(map(_parameter, operation.parameters))
    if operation.body is not None:
        content = {"schema": {"$ref": PREFIX + operation.body.definition}}
        tree["requestBody"] = {"content": dict.fromkeys(operation.consumes, content)}
        if operation.body.required:
            tree["requestBody"]["required"] = True
    responses: Tree = {}
    for code, answer in operation.answers.items():
        schema = {"type": "string"} if answer == TEXT else {"$ref": PREFIX + answer}
        responses[str(code)] = {
            "description": ANSWERS[code],
            "content": {media_type: {"schema": schema} for media_type in operation.produces},
        }
    tree["responses"] = {**responses, "401": {"description": ANSWERS[401]}}
    return tree | operation.extensions()


def _parameter(parameter: Parameter) -> Tree:
    tree: Tree = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "schema": {"type": parameter.type, "uniqueItems": True},
    }
    if parameter.where == "path":
        tree["required"] = True
    return tree
