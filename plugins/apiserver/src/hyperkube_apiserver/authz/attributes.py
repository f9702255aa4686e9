"""What is asked of an authorizer. Source: k8s.io/apiserver/pkg/authorization/authorizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Attributes", "ResourceAttributes"]


class Attributes(Protocol):
    """What a request wants to do; a request's `RequestInfo` is one."""

    @property
    def is_resource(self) -> bool:
        """Whether it is about a resource; otherwise only `path` and `verb` count."""

    @property
    def path(self) -> str: ...
    @property
    def verb(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def namespace(self) -> str:
        """Empty at the cluster scope."""

    @property
    def resource(self) -> str: ...
    @property
    def subresource(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def field_selector(self) -> str:
        """What a list, a watch or the deletion of a collection is narrowed to, as the client wrote it."""

    @property
    def label_selector(self) -> str:
        """The same, by labels."""

    @property
    def version(self) -> str:
        """Of the API group; "" where the question is about all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceAttributes:
    """A question that is not about the request itself, such as whether a user may bind a role."""

    verb: str
    group: str = ""
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    version: str = ""
    is_resource: bool = True
    path: str = ""
