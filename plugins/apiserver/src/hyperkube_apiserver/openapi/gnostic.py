"""The field numbers of gnostic's messages, for what documents hold; `wire` writes by them.

Source: github.com/google/gnostic-models, openapiv2/OpenAPIv2.proto and openapiv3/OpenAPIv3.proto.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.openapi.wire import Choice, Message, Named, Strings, Tables

__all__ = ["VERSION_2", "VERSION_3"]


def _numbered(text: str) -> dict[str, tuple[int, str]]:
    """Fields from words like `description:1:string`."""
    fields = {}
    for word in text.split():
        key, number, type_ = word.rsplit(":", 2)
        fields[key] = (int(number), type_)
    return fields


_LIMITS_2 = """
    default:5:any multipleOf:6:double maximum:7:double exclusiveMaximum:8:bool minimum:9:double exclusiveMinimum:10:bool
    maxLength:11:int minLength:12:int pattern:13:string maxItems:14:int minItems:15:int uniqueItems:16:bool
    maxProperties:17:int minProperties:18:int
"""
_LIMITS_3 = """
    multipleOf:10:double maximum:11:double exclusiveMaximum:12:bool minimum:13:double exclusiveMinimum:14:bool
    maxLength:15:int minLength:16:int pattern:17:string maxItems:18:int minItems:19:int uniqueItems:20:bool
    maxProperties:21:int minProperties:22:int
"""


def _or_reference(plain: str, reference: str) -> Choice:
    return Choice(lambda value: (2, reference) if "$ref" in value else (1, plain))


def _parameter_2(value: Any) -> tuple[int, str]:
    return (1, "BodyParameter") if value["in"] == "body" else (2, "NonBodyParameter")


def _place_2(value: Any) -> tuple[int, str]:
    return (4, "PathParameter") if value["in"] == "path" else (3, "QueryParameter")


def _default_3(value: Any) -> tuple[int, str] | None:
    """Only scalars have a field."""
    if isinstance(value, bool):
        return 2, "bool"
    if isinstance(value, int | float):
        return 1, "double"
    return (3, "string") if isinstance(value, str) else None


def _schema_or_boolean(schema: str) -> Choice:
    return Choice(lambda value: (2, "bool") if isinstance(value, bool) else (1, schema))


VERSION_2: Tables = {
    "Document": Message(
        _numbered(
            "swagger:1:string info:2:Info paths:8:Paths definitions:9:Schemas parameters:10:Parameters "
            "security:12:*Requirement securityDefinitions:13:SecurityDefinitions"
        )
    ),
    "Info": Message(_numbered("title:1:string version:2:string description:3:string")),
    "Paths": Named("PathItem", number=2),
    "PathItem": Message(
        _numbered(
            "get:2:Operation put:3:Operation post:4:Operation delete:5:Operation options:6:Operation head:7:Operation "
            "patch:8:Operation parameters:9:*ParameterOrReference"
        ),
        extensions=10,
    ),
    "Operation": Message(
        _numbered(
            "tags:1:*string summary:2:string description:3:string operationId:5:string produces:6:*string "
            "consumes:7:*string parameters:8:*ParameterOrReference responses:9:Responses schemes:10:*string "
            "deprecated:11:bool"
        ),
        extensions=13,
    ),
    "ParameterOrReference": _or_reference("Parameter", "Reference"),
    "Reference": Message(_numbered("$ref:1:string description:2:string")),
    "Parameters": Named("Parameter"),
    "Parameter": Choice(_parameter_2),
    "BodyParameter": Message(
        _numbered("description:1:string name:2:string in:3:string required:4:bool schema:5:Schema"), extensions=6
    ),
    "NonBodyParameter": Choice(_place_2),
    "QueryParameter": Message(
        _numbered(
            "required:1:bool in:2:string description:3:string name:4:string type:6:string format:7:string "
            "default:10:any uniqueItems:20:bool enum:21:*any"
        ),
        extensions=23,
    ),
    "PathParameter": Message(
        _numbered(
            "required:1:bool in:2:string description:3:string name:4:string type:5:string format:6:string "
            "default:9:any uniqueItems:19:bool enum:20:*any"
        ),
        extensions=22,
    ),
    "Responses": Named("ResponseOrReference"),
    "ResponseOrReference": _or_reference("Response", "Reference"),
    "Response": Message(_numbered("description:1:string schema:2:SchemaItem"), extensions=5),
    "SchemaItem": Choice(lambda _: (1, "Schema")),
    "Schemas": Named("Schema"),
    "Schema": Message(
        _numbered(
            f"$ref:1:string format:2:string title:3:string description:4:string {_LIMITS_2} required:19:*string "
            "enum:20:*any additionalProperties:21:SchemaOrBoolean type:22:Types items:23:Items allOf:24:*Schema "
            "properties:25:Schemas readOnly:27:bool example:30:any"
        ),
        extensions=31,
    ),
    "SchemaOrBoolean": _schema_or_boolean("Schema"),
    "Items": Choice(lambda _: (1, "Schema")),
    "Types": Strings(),
    "SecurityDefinitions": Named("SecurityDefinition"),
    "SecurityDefinition": Choice(lambda _: (2, "ApiKey")),
    "ApiKey": Message(_numbered("type:1:string name:2:string in:3:string description:4:string"), extensions=5),
    "Requirement": Named("Types"),
}

VERSION_3: Tables = {
    "Document": Message(_numbered("openapi:1:string info:2:Info paths:4:Paths components:5:Components")),
    "Info": Message(_numbered("title:1:string description:2:string version:6:string")),
    "Paths": Named("PathItem"),
    "PathItem": Message(
        _numbered(
            "summary:2:string description:3:string get:4:Operation put:5:Operation post:6:Operation delete:7:Operation "
            "options:8:Operation head:9:Operation patch:10:Operation parameters:13:*ParameterOrReference"
        ),
        extensions=14,
    ),
    "Operation": Message(
        _numbered(
            "tags:1:*string summary:2:string description:3:string operationId:5:string "
            "parameters:6:*ParameterOrReference requestBody:7:BodyOrReference responses:8:Responses deprecated:10:bool"
        ),
        extensions=13,
    ),
    "ParameterOrReference": _or_reference("Parameter", "Reference"),
    "Parameter": Message(
        _numbered("name:1:string in:2:string description:3:string required:4:bool schema:10:SchemaOrReference"),
        extensions=14,
    ),
    "Reference": Message(_numbered("$ref:1:string summary:2:string description:3:string")),
    "BodyOrReference": _or_reference("Body", "Reference"),
    "Body": Message(_numbered("description:1:string content:2:MediaTypes required:3:bool"), extensions=4),
    "MediaTypes": Named("MediaType"),
    "MediaType": Message(_numbered("schema:1:SchemaOrReference example:2:any"), extensions=5),
    "Responses": Named("ResponseOrReference", number=2, special={"default": (1, "ResponseOrReference")}),
    "ResponseOrReference": _or_reference("Response", "Reference"),
    "Response": Message(_numbered("description:1:string content:3:MediaTypes"), extensions=5),
    "Components": Message(_numbered("schemas:1:Schemas securitySchemes:7:SecuritySchemes")),
    "Schemas": Named("SchemaOrReference"),
    "SchemaOrReference": _or_reference("Schema", "Reference"),
    "Schema": Message(
        _numbered(
            "nullable:1:bool readOnly:3:bool writeOnly:4:bool example:7:any deprecated:8:bool title:9:string "
            f"{_LIMITS_3} required:23:*string enum:24:*any type:25:string allOf:26:*SchemaOrReference "
            "oneOf:27:*SchemaOrReference anyOf:28:*SchemaOrReference not:29:Schema items:30:Items "
            "properties:31:Schemas additionalProperties:32:SchemaOrBoolean default:33:Default "
            "description:34:string format:35:string"
        ),
        extensions=36,
    ),
    "SchemaOrBoolean": _schema_or_boolean("SchemaOrReference"),
    "Items": Choice(lambda _: (1, "SchemaOrReference")),
    "Default": Choice(_default_3),
    "SecuritySchemes": Named("SecuritySchemeOrReference"),
    "SecuritySchemeOrReference": _or_reference("SecurityScheme", "Reference"),
    "SecurityScheme": Message(_numbered("type:1:string description:2:string name:3:string in:4:string"), extensions=9),
}
