"""PATCH with a configuration to apply: what a client wants of an object, merged on the server.

Source: k8s.io/apiserver/pkg/endpoints/handlers (patch.go, applyPatcher).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyperkube_apiserver.call import Call
from hyperkube_apiserver.handlers.write import check_name
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.parameters import WriteOptions
from hyperkube_apiserver.registry.ownership import FieldOwners
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.jsontext import BadJSON, has_duplicates, parse
from hyperkube_machinery.schema.exact import json_type

__all__ = ["MEDIA_TYPE", "applying", "read_configuration"]

MEDIA_TYPE = "application/apply-patch+yaml"

Tree = dict[str, Any]
Change = Callable[[Tree], Tree]


def read_configuration(body: bytes) -> tuple[Tree, list[str]]:
    """The configuration in a body of YAML, and what a strict reader finds wrong with it. Raises APIError 400."""
    value, duplicates = _read(body)
    if value is None:
        return {}, []
    if not isinstance(value, dict):
        raise _undecodable(
            "error unmarshaling JSON: while decoding JSON: "
            f"json: cannot unmarshal {json_type(value)} into Go value of type map[string]interface {{}}"
        )
    return value, duplicates


def _read(body: bytes) -> tuple[Any, list[str]]:
    """A value, and its duplicate keys. Most clients send JSON, which is YAML too but sooner read."""
    try:
        value = parse(body)
        if not has_duplicates(body, value) and not _has_floats(value):
            return value, []
    except BadJSON:
        pass
    from hyperkube_machinery.yamltext import BadYAML, parse_yaml  # takes a tenth of the server's start

    try:
        return parse_yaml(body)
    except BadYAML as error:
        raise _undecodable(f"error converting YAML to JSON: {error}") from None


def _has_floats(value: Any) -> bool:
    """Whether there are numbers that YAML may write otherwise: 1.0 is 1 there."""
    if isinstance(value, dict):
        return any(_has_floats(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_floats(item) for item in value)
    return isinstance(value, float)


def _undecodable(why: str) -> APIError:
    return APIError.bad_request(f"error decoding YAML: {why}")


def applying(call: Call, owners: FieldOwners, kind: Kind, options: WriteOptions, context: WriteContext) -> Change:
    """The change that makes of an object, or of none ({}), what it is with the configuration in the body applied."""
    config, findings = read_configuration(call.request.body)

    def change(old: Tree) -> Tree:
        tree = owners.apply(old or None, config, context, force=options.force)
        if findings and options.field_validation == "Strict":
            listed = "\n  ".join(["yaml: unmarshal errors:", *findings])
            raise APIError.bad_request(f"error strict decoding YAML: error converting YAML to JSON: {listed}")
        if options.field_validation == "Warn":
            for text in findings:
                call.warn(text)
        uid = meta.uid(tree)
        if uid and not old:
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise APIError.conflict(kind.resource, call.info.name, why)
        check_name(tree, call.info.name)
        return tree

    return change
