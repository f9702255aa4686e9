"""Role-based access control, compiled to an index per subject.

Every user and every group that a binding names has, for each scope it is bound in, one table of what its roles allow.
It is compiled when it is first asked for; from then on a role or binding that changes changes the tables it concerns by
just what it says, so that neither questions nor changes take longer where there are many others.
Source: k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac, k8s.io/kubernetes/pkg/registry/rbac/validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from hyperkube_apiserver.authz.authorizers import ALLOWED, DENIED, Decision, Rules
from hyperkube_apiserver.authz.bindings import Binding, Grant, MissingRole, RoleRef, Subject, subject_of
from hyperkube_apiserver.authz.rules import Rule, Table
from hyperkube_machinery.errors import aggregated

if TYPE_CHECKING:
    from hyperkube_apiserver.authz.attributes import Attributes
    from hyperkube_machinery.identity import Identity

__all__ = ["RBAC"]

_NAMESPACED = frozenset({"roles", "rolebindings"})
_KINDS = {"clusterroles": "ClusterRole", "roles": "Role"}
_NOT_LOADED = Decision(False, "RBAC: the roles are not loaded yet")

Tree: TypeAlias = Mapping[str, Any]


class _Scope:
    """What one subject is bound to in one namespace, or everywhere."""

    __slots__ = ("bindings", "missing", "roles", "table")

    def __init__(self) -> None:
        self.bindings: dict[str, Binding] = {}  # by name
        self.roles: dict[RoleRef, int] = {}  # with how many bindings there are to each
        self.table: Table | None = None  # what the roles allow; made when it is first asked for, and kept up from then
        self.missing: dict[RoleRef, None] = {}  # roles that are not there, as far as there is a table

    @property
    def errors(self) -> Iterator[str]:
        """What is wrong with the bindings."""
        return (str(MissingRole(ref)) for ref in self.missing)

    def learn(self, ref: RoleRef, rules: tuple[Rule, ...] | None) -> None:
        """Allow what a role says, or note that there is none (None)."""
        assert self.table is not None
        if rules is None:
            self.missing[ref] = None
        else:
            for rule in rules:
                self.table.add(rule)

    def unlearn(self, ref: RoleRef, rules: tuple[Rule, ...] | None) -> None:
        """The contrary; `rules` are those that were learnt."""
        assert self.table is not None
        if rules is None:
            self.missing.pop(ref, None)
        else:
            for rule in rules:
                self.table.remove(rule)


class RBAC:
    """Allows what the roles bound to a user or its groups allow. Nobody may do anything until `loaded`."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.loaded = False
        self._roles: dict[RoleRef, tuple[Rule, ...]] = {}
        self._bindings: dict[tuple[str, str], Binding] = {}
        self._bound: dict[RoleRef, set[tuple[str, str]]] = {}
        self._users: dict[str, dict[str, _Scope]] = {}
        self._groups: dict[str, dict[str, _Scope]] = {}

    # Data

    def replace(
        self,
        roles: Iterable[Tree],
        rolebindings: Iterable[Tree],
        clusterroles: Iterable[Tree],
        clusterrolebindings: Iterable[Tree],
    ) -> None:
        """Forget everything and start from these objects; loaded from here on."""
        self._forget()
        everything = {
            "roles": roles,
            "rolebindings": rolebindings,
            "clusterroles": clusterroles,
            "clusterrolebindings": clusterrolebindings,
        }
        for resource, objects in everything.items():
            for obj in objects:
                metadata = obj["metadata"]
                self._apply(resource, metadata.get("namespace", ""), metadata["name"], obj)
        self.loaded = True

    def apply(self, resource: str, key: str, obj: Tree | None) -> None:
        """Take over one object, or its deletion (None).

        `key` ends in `name`, or in `namespace/name` where the resource is namespaced; a storage key does.
        """
        parts = key.rsplit("/", 2)
        namespace = parts[-2] if resource in _NAMESPACED else ""
        self._apply(resource, namespace, parts[-1], obj)

    def _apply(self, resource: str, namespace: str, name: str, obj: Tree | None) -> None:
        if resource in _KINDS:
            ref = RoleRef(_KINDS[resource], namespace, name)
            self._change_role(ref, None if obj is None else tuple(map(Rule.parse, obj.get("rules") or ())))
            return
        self._unbind(self._bindings.pop((namespace, name), None))
        if obj is not None:
            subjects = (subject_of(subject, namespace) for subject in obj.get("subjects") or ())
            self._bind(
                Binding(
                    namespace,
                    name,
                    RoleRef.parse(obj.get("roleRef") or {}, namespace),
                    tuple(subject for subject in subjects if subject is not None),
                )
            )

    def _change_role(self, ref: RoleRef, rules: tuple[Rule, ...] | None) -> None:
        """Have a role say this, or be gone (None). Only tables that somebody has asked for are changed."""
        before = self._roles.pop(ref, None)
        if rules is not None:
            self._roles[ref] = rules
        scopes = {id(scope): scope for key in self._bound.get(ref, ()) for scope in self._scopes(self._bindings[key])}
        for scope in scopes.values():
            if scope.table is not None:
                scope.unlearn(ref, before)
                scope.learn(ref, rules)

    def _bind(self, binding: Binding) -> None:
        key, ref = (binding.namespace, binding.name), binding.role
        self._bindings[key] = binding
        self._bound.setdefault(ref, set()).add(key)
        for group, name in binding.places:
            subjects = self._groups if group else self._users
            scope = subjects.setdefault(name, {}).setdefault(binding.namespace, _Scope())
            scope.bindings[binding.name] = binding
            scope.roles[ref] = scope.roles.get(ref, 0) + 1
            if scope.roles[ref] == 1 and scope.table is not None:
                scope.learn(ref, self._roles.get(ref))

    def _unbind(self, binding: Binding | None) -> None:
        if binding is None:
            return
        ref = binding.role
        bound = self._bound[ref]
        bound.discard((binding.namespace, binding.name))
        if not bound:
            del self._bound[ref]
        for group, name in binding.places:
            subjects = self._groups if group else self._users
            scopes = subjects[name]
            scope = scopes[binding.namespace]
            del scope.bindings[binding.name]
            scope.roles[ref] -= 1
            if not scope.roles[ref]:
                del scope.roles[ref]
                if scope.table is not None:
                    scope.unlearn(ref, self._roles.get(ref))
            if not scope.bindings:
                del scopes[binding.namespace]
            if not scopes:
                del subjects[name]

    def _scopes(self, binding: Binding) -> Iterator[_Scope]:
        for group, name in binding.places:
            yield (self._groups if group else self._users)[name][binding.namespace]

    def _compile(self, scope: _Scope) -> Table:
        scope.table = Table()
        for ref in scope.roles:
            scope.learn(ref, self._roles.get(ref))
        return scope.table

    # Questions

    def authorize(self, identity: Identity, info: Attributes) -> Decision:
        """Whether `identity` may do what `info` says; a refusal tells of bindings whose roles are missing."""
        if not self.loaded:
            return _NOT_LOADED
        scopes = self._users.get(identity.name)
        if scopes is not None and self._allow(scopes, info):
            return ALLOWED
        groups = self._groups
        for group in identity.groups:
            scopes = groups.get(group)
            if scopes is not None and self._allow(scopes, info):
                return ALLOWED
        return self._refusal(identity, info.namespace)

    def _allow(self, scopes: Mapping[str, _Scope], info: Attributes) -> bool:
        """Whether what one subject is bound to allows it."""
        namespace = info.namespace
        for where in ("", namespace) if namespace else ("",):
            scope = scopes.get(where)
            if scope is None:
                continue
            table = scope.table or self._compile(scope)
            if info.is_resource:
                if table.allows(info.verb, info.group, info.resource, info.subresource, info.name):
                    return True
            elif table.allows_path(info.verb, info.path):
                return True
        return False

    def _refusal(self, identity: Identity, namespace: str) -> Decision:
        mine = [self._users.get(identity.name), *map(self._groups.get, identity.groups)]
        errors = dict.fromkeys(
            error
            for where in ("", namespace)
            for scopes in mine
            if scopes is not None and where in scopes
            for error in scopes[where].errors
        )
        return Decision(False, f"RBAC: {aggregated(errors)}") if errors else DENIED

    def explain(self, identity: Identity, info: Attributes) -> Decision:
        """As `authorize`, but a permission says where it comes from; slower, for reviews."""
        decision = self.authorize(identity, info)
        if not decision.allowed:
            return decision
        for grant in self.grants(identity, info.namespace)[0]:
            rule = grant.rule
            if (
                rule.allows(info.verb, info.group, info.resource, info.subresource, info.name)
                if info.is_resource
                else rule.allows_path(info.verb, info.path)
            ):
                return Decision(True, f"RBAC: allowed by {grant.source}")
        return decision

    def grants(self, identity: Identity, namespace: str) -> tuple[list[Grant], list[MissingRole]]:
        """All rules that apply to `identity` in `namespace` ("" for the cluster scope alone), and roles that miss."""
        grants: list[Grant] = []
        missing: list[MissingRole] = []
        for where in ("", namespace) if namespace else ("",):
            for binding, subject in self._applying(identity, where):
                try:
                    rules = self.role_rules(binding.role)
                except MissingRole as exc:
                    missing.append(exc)
                    continue
                source = binding.describe(subject)
                grants.extend(Grant(source, rule) for rule in rules)
        return grants, missing

    def rules_for(self, identity: Identity, namespace: str) -> Rules:
        """The rules that apply to `identity` in `namespace`: what a review of one's own rules lists."""
        grants, missing = self.grants(identity, namespace)
        return Rules(tuple(grant.rule for grant in grants), errors=tuple(map(str, missing)))

    def role_rules(self, ref: RoleRef) -> tuple[Rule, ...]:
        """The rules of a role. Raises MissingRole."""
        try:
            return self._roles[ref]
        except KeyError:
            raise MissingRole(ref) from None

    def _applying(self, identity: Identity, where: str) -> Iterator[tuple[Binding, Subject]]:
        candidates: dict[str, Binding] = {}
        mine = [self._users.get(identity.name), *map(self._groups.get, identity.groups)]
        for scopes in mine:
            if scopes and where in scopes:
                candidates.update(scopes[where].bindings)
        for _, binding in sorted(candidates.items()):
            for subject in binding.subjects:
                if subject.name in identity.groups if subject.group else subject.name == identity.name:
                    yield binding, subject
                    break
