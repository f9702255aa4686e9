"""The variables of admission's expressions and their types.

Source: k8s.io/apiserver/pkg/admission/plugin/cel/compile.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from hyperkube_machinery.cel.environment import Environment
from hyperkube_machinery.cel.kubernetes import typenames
from hyperkube_machinery.cel.kubernetes.admission.patchtypes import PatchTypes
from hyperkube_machinery.cel.kubernetes.environments import base_environment, mutation_environment
from hyperkube_machinery.cel.types import (
    BOOL,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    ObjectType,
    Type,
    list_of,
    map_of,
)

__all__ = ["REQUEST_RESOURCE", "environment", "typed_environment", "with_variables"]

REQUEST_RESOURCE = "authorizer.requestResource"

_TEXTS = list_of(STRING)
_PAIRS = map_of(STRING, STRING)


def _object(called: str, /, **fields: Type) -> ObjectType:
    return ObjectType(f"kubernetes.{called}", {field: Field(type_) for field, type_ in fields.items()})


_KIND = _object("GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_RESOURCE = _object("GroupVersionResource", group=STRING, version=STRING, resource=STRING)
_USER = _object("UserInfo", username=STRING, uid=STRING, groups=_TEXTS, extra=map_of(STRING, _TEXTS))
_REQUEST = _object(
    "AdmissionRequest",
    kind=_KIND,
    resource=_RESOURCE,
    subResource=STRING,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=_USER,
    dryRun=BOOL,
    options=DYN,
)
_NAMESPACE = _object(
    "Namespace",
    metadata=_object(
        "NamespaceMetadata",
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=_PAIRS,
        annotations=_PAIRS,
        UID=STRING,
        creationTimestamp=TIMESTAMP,
        deletionGracePeriodSeconds=INT,
        deletionTimestamp=TIMESTAMP,
        generation=INT,
        resourceVersion=STRING,
        finalizers=_TEXTS,
    ),
    spec=_object("NamespaceSpec", finalizers=_TEXTS),
    status=_object(
        "NamespaceStatus",
        conditions=list_of(
            _object(
                "NamespaceCondition",
                status=STRING,
                type=STRING,
                lastTransitionTime=TIMESTAMP,
                message=STRING,
                reason=STRING,
            )
        ),
        phase=STRING,
    ),
)


@cache
def environment(*, params: bool, authorizer: bool, patches: bool = False) -> Environment:
    """What expressions may mention where there are parameters, an authorizer, patches to be made."""
    variables: dict[str, Type] = {"object": DYN, "oldObject": DYN, "request": _REQUEST, "namespaceObject": _NAMESPACE}
    if params:
        variables["params"] = DYN
    if authorizer:
        variables["authorizer"] = typenames.AUTHORIZER
        variables[REQUEST_RESOURCE] = typenames.RESOURCE_CHECK
    if patches:
        return mutation_environment().extend(variables=variables, types=PatchTypes())
    return base_environment().extend(variables=variables)


def typed_environment(object_type: Type, params_type: Type | None) -> Environment:
    """The same for expressions that are only checked, for objects of a type; without parameters if they have none."""
    variables: dict[str, Type] = {
        "object": object_type,
        "oldObject": object_type,
        "request": _REQUEST,
        "namespaceObject": _NAMESPACE,
        "authorizer": typenames.AUTHORIZER,
    }
    if params_type is not None:
        variables["params"] = params_type
    return base_environment().extend(variables=variables)


def with_variables(base: Environment, variables: Mapping[str, Type]) -> Environment:
    """`base` and what a policy declares of its own: `variables.name`."""
    declared = ObjectType("kubernetes.variables", {name: Field(type_) for name, type_ in variables.items()})
    return base.extend(variables={"variables": declared})
