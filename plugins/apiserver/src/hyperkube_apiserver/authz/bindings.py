"""What roles and bindings say: which role is meant, whom a binding is about, and why a rule applies.

Source: k8s.io/kubernetes/pkg/registry/rbac/validation (rule.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from hyperkube_apiserver.authz.forbidden import quote
from hyperkube_apiserver.authz.rules import Rule

__all__ = ["GROUP", "Binding", "Grant", "MissingRole", "RoleRef", "Subject", "subject_of"]

GROUP = "rbac.authorization.k8s.io"

Tree: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RoleRef:
    """The role that a binding means."""

    kind: str  # ClusterRole, Role
    namespace: str  # "" for a ClusterRole
    name: str

    @classmethod
    def parse(cls, ref: Tree, binding_namespace: str) -> RoleRef:
        """`roleRef` of a binding in `binding_namespace`."""
        kind = str(ref.get("kind", ""))
        return cls(kind, binding_namespace if kind == "Role" else "", str(ref.get("name", "")))


class MissingRole(Exception):
    """There is no role as `ref` says."""

    def __init__(self, ref: RoleRef) -> None:
        if ref.kind in ("ClusterRole", "Role"):
            super().__init__(f"{ref.kind.lower()}.{GROUP} {quote(ref.name)} not found")
        else:
            super().__init__(f"unsupported role reference kind: {quote(ref.kind)}")
        self.ref = ref


@dataclass(frozen=True, slots=True)
class Subject:
    group: bool
    name: str  # of a user or group; a service account stands as its user
    described: str


@dataclass(frozen=True, slots=True)
class Binding:
    namespace: str  # "" for a ClusterRoleBinding
    name: str
    role: RoleRef
    subjects: tuple[Subject, ...]

    @property
    def places(self) -> set[tuple[bool, str]]:
        """Whom it is about, each once: whether that is a group, and its name."""
        return {(subject.group, subject.name) for subject in self.subjects}

    def describe(self, subject: Subject) -> str:
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        name = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f"{kind} {quote(name)} of {self.role.kind} {quote(self.role.name)} to {subject.described}"


@dataclass(frozen=True, slots=True)
class Grant:
    """A rule that applies to a user, and why."""

    source: str  # ClusterRoleBinding "x" of ClusterRole "y" to User "z"
    rule: Rule


def subject_of(subject: Tree, binding_namespace: str) -> Subject | None:
    """The user or group that a binding's subject stands for; None where it stands for nobody."""
    kind, name = str(subject.get("kind", "")), str(subject.get("name", ""))
    match kind:
        case "User" | "Group":
            return Subject(kind == "Group", name, f"{kind} {quote(name)}")
        case "ServiceAccount":
            namespace = subject.get("namespace") or binding_namespace
            if not namespace:
                return None
            described = f"{kind} {quote(f'{name}/{namespace}')}"
            return Subject(False, f"system:serviceaccount:{namespace}:{name}", described)
    return None
