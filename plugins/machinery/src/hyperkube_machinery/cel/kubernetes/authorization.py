"""May somebody do this? `authorizer.group("apps").resource("deployments").check("list").allowed()`

The questions go to whoever made the authorizer. An exception that it raises other than EvaluationError ends the
evaluation: that is how it says that it must wait for the answer.
Source: k8s.io/apiserver/pkg/cel/library/authz.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kubernetes import typenames
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.types import BOOL, STRING, Type
from hyperkube_machinery.names import dns1123_label, dns1123_subdomain

__all__ = ["AUTHORIZATION", "SELECTORS", "Ask", "Authorizer", "Decision", "Question", "ResourceCheck"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be decided: of a path, or else of a resource."""

    verb: str
    service_account: tuple[str, str] | None = None  # namespace and name; None asks for the one who made the request
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""

    @property
    def is_resource(self) -> bool:
        return not self.path


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reason: str = ""
    error: str = ""

    cel_type: ClassVar[Type] = typenames.DECISION


Ask = Callable[[Question], Decision]


@dataclass(frozen=True, slots=True)
class Authorizer:
    """The value of the variable `authorizer`."""

    ask: Ask
    service_account: tuple[str, str] | None = None

    cel_type: ClassVar[Type] = typenames.AUTHORIZER


@dataclass(frozen=True, slots=True)
class _PathCheck:
    authorizer: Authorizer
    path: str

    cel_type: ClassVar[Type] = typenames.PATH_CHECK

    def check(self, verb: str) -> Decision:
        authorizer = self.authorizer
        return authorizer.ask(Question(verb, authorizer.service_account, path=self.path))


@dataclass(frozen=True, slots=True)
class _GroupCheck:
    authorizer: Authorizer
    group: str

    cel_type: ClassVar[Type] = typenames.GROUP_CHECK


@dataclass(frozen=True, slots=True)
class ResourceCheck:
    """A question about a resource without its verb: the value of `authorizer.requestResource` too."""

    authorizer: Authorizer
    question: Question

    cel_type: ClassVar[Type] = typenames.RESOURCE_CHECK

    def check(self, verb: str) -> Decision:
        return self.authorizer.ask(replace(self.question, verb=verb))

    def of_subresource(self, subresource: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, replace(self.question, subresource=subresource))

    def in_namespace(self, namespace: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, replace(self.question, namespace=namespace))

    def named(self, name: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, replace(self.question, name=name))

    def with_fields(self, selector: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, replace(self.question, field_selector=selector))

    def with_labels(self, selector: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, replace(self.question, label_selector=selector))


def _path(authorizer: Authorizer, path: str) -> _PathCheck:
    if not path.strip():
        raise EvaluationError("path must not be empty")
    return _PathCheck(authorizer, path)


def _resource(group: _GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise EvaluationError("resource must not be empty")
    authorizer = group.authorizer
    question = Question("", authorizer.service_account, group=group.group, resource=resource)
    return ResourceCheck(authorizer, question)


def _service_account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    if dns1123_subdomain(name):
        raise EvaluationError("Invalid service account name")
    if dns1123_label(namespace):
        raise EvaluationError("Invalid service account namespace")
    return replace(authorizer, service_account=(namespace, name))


_A, _P, _G = typenames.AUTHORIZER, typenames.PATH_CHECK, typenames.GROUP_CHECK
_R, _D = typenames.RESOURCE_CHECK, typenames.DECISION

AUTHORIZATION = Library(
    name="kubernetes.authz",
    types={one.name: one for one in (_A, _P, _G, _R, _D)},
    functions=(
        Function("path", Overload("authorizer_path", (_A, STRING), _P, _path, member=True)),
        Function("group", Overload("authorizer_group", (_A, STRING), _G, _GroupCheck, member=True)),
        Function(
            "serviceAccount",
            Overload("authorizer_serviceaccount", (_A, STRING, STRING), _A, _service_account, member=True),
        ),
        Function("resource", Overload("groupcheck_resource", (_G, STRING), _R, _resource, member=True)),
        Function(
            "subresource",
            Overload("resourcecheck_subresource", (_R, STRING), _R, ResourceCheck.of_subresource, member=True),
        ),
        Function(
            "namespace", Overload("resourcecheck_namespace", (_R, STRING), _R, ResourceCheck.in_namespace, member=True)
        ),
        Function("name", Overload("resourcecheck_name", (_R, STRING), _R, ResourceCheck.named, member=True)),
        Function(
            "check",
            Overload("pathcheck_check", (_P, STRING), _D, _PathCheck.check, member=True),
            Overload("resourcecheck_check", (_R, STRING), _D, ResourceCheck.check, member=True),
        ),
        Function("errored", Overload("decision_errored", (_D,), BOOL, lambda one: bool(one.error), member=True)),
        Function("error", Overload("decision_error", (_D,), STRING, lambda one: one.error, member=True)),
        Function("allowed", Overload("decision_allowed", (_D,), BOOL, lambda one: one.allowed, member=True)),
        Function("reason", Overload("decision_reason", (_D,), STRING, lambda one: one.reason, member=True)),
    ),
)

SELECTORS = Library(
    name="kubernetes.authzSelectors",
    functions=(
        Function(
            "fieldSelector",
            Overload("authorizer_fieldselector", (_R, STRING), _R, ResourceCheck.with_fields, member=True),
        ),
        Function(
            "labelSelector",
            Overload("authorizer_labelselector", (_R, STRING), _R, ResourceCheck.with_labels, member=True),
        ),
    ),
)
