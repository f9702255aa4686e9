"""Nobody hands out more than they have: checks on writes of roles and bindings.

Source: k8s.io/kubernetes/pkg/registry/rbac, k8s.io/component-helpers/auth/rbac/validation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.authz.attributes import Attributes, ResourceAttributes
from hyperkube_apiserver.authz.bindings import GROUP, MissingRole, RoleRef
from hyperkube_apiserver.authz.deciding import deciding
from hyperkube_apiserver.authz.forbidden import forbidden_because, quote, quote_all
from hyperkube_apiserver.authz.rbac import RBAC
from hyperkube_apiserver.authz.rules import Rule, Table
from hyperkube_machinery.errors import APIError, aggregated, failure
from hyperkube_machinery.identity import MASTERS, Identity

if TYPE_CHECKING:
    from hyperkube_apiserver.authz.authorizers import Authorizer, PromptAuthorizer

__all__ = ["Escalation", "missing_rules"]

# A rule of long lists stands for their product. One that stands for more is refused whole, which errs on the safe side,
# rather than compared piece by piece, which would stop the server for seconds.
_MOST_PIECES = 20_000
_EVERYTHING = (Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",)))

Tree = Mapping[str, Any]


class Escalation:
    """Refuses roles with rights that their writer lacks, and bindings to such roles.

    The writer may by a right to `escalate` the role, to `bind` it, or as a member of `system:masters`.
    """

    def __init__(self, rbac: RBAC, authorizer: Authorizer) -> None:
        self._rbac = rbac
        self._authorizer = authorizer

    def check(self, identity: Identity, info: Attributes, obj: Tree, old: Tree | None = None) -> Awaitable[None] | None:
        """Check the write that `info` is about: `obj` is created, or takes the place of `old`.

        Does nothing for other resources. Raises APIError 403, and 404 for a binding to a role that is not there; what
        is returned is to be awaited for that.
        """
        checks: dict[str, Callable[[PromptAuthorizer, Identity, Attributes, Tree, Tree | None], None]] = {
            "roles": self._role,
            "clusterroles": self._role,
            "rolebindings": self._binding,
            "clusterrolebindings": self._binding,
        }
        if info.group != GROUP or info.resource not in checks or MASTERS in identity.groups:
            return None
        check = checks[info.resource]
        return deciding(self._authorizer, lambda authorizer: check(authorizer, identity, info, obj, old))

    def _role(
        self, authorizer: PromptAuthorizer, identity: Identity, info: Attributes, role: Tree, old: Tree | None
    ) -> None:
        escalate = ResourceAttributes(
            verb="escalate", group=GROUP, resource=info.resource, namespace=info.namespace, name=info.name
        )
        if authorizer.authorize(identity, escalate).allowed or _only_for_collectors(role, old):
            return
        self._confirm(identity, info, role, map(Rule.parse, role.get("rules") or ()))
        # What an aggregated role gathers is not known now, so that everything must be held.
        if info.resource == "clusterroles" and (_aggregates(role) or _aggregates(old)):
            try:
                self._confirm(identity, info, role, _EVERYTHING)
            except APIError:
                why = "must have cluster-admin privileges to use the aggregationRule"
                raise forbidden_because(GROUP, info.resource, role["metadata"].get("name", ""), why) from None

    def _binding(
        self, authorizer: PromptAuthorizer, identity: Identity, info: Attributes, binding: Tree, old: Tree | None
    ) -> None:
        if _only_for_collectors(binding, old):
            return
        ref = RoleRef.parse(binding.get("roleRef") or {}, info.namespace)
        if ref.kind in ("ClusterRole", "Role"):
            bind = ResourceAttributes(
                verb="bind",
                group=(binding.get("roleRef") or {}).get("apiGroup", ""),
                resource=f"{ref.kind.lower()}s",
                namespace=info.namespace,
                name=ref.name,
            )
            if authorizer.authorize(identity, bind).allowed:
                return
        try:
            rules = self._rbac.role_rules(ref)
        except MissingRole as exc:
            raise _not_found(info.resource, exc) from exc
        self._confirm(identity, info, binding, rules)

    def _confirm(self, identity: Identity, info: Attributes, obj: Tree, rules: Iterable[Rule]) -> None:
        """Return if the writer holds `rules` where they would apply."""
        grants, unresolved = self._rbac.grants(identity, info.namespace)
        missing = missing_rules([grant.rule for grant in grants], rules)
        if not missing:
            return
        held = "\n".join(sorted({rule.describe() for rule in missing}))
        why = (
            f"user {quote(identity.name)} (groups={quote_all(identity.groups)}) "
            f"is attempting to grant RBAC permissions not currently held:\n{held}"
        )
        if unresolved:
            why += f"; resolution errors: [{aggregated(_told(info.resource, exc) for exc in unresolved)}]"
        raise forbidden_because(GROUP, info.resource, obj["metadata"].get("name", ""), why)


def missing_rules(held: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What of `wanted` no rule of `held` covers: one rule a verb, resource and name, then the verbs put together."""
    table = Table(held)
    missing: list[Rule] = []
    for rule in wanted:
        pieces = len(rule.verbs) * (len(rule.groups) * len(rule.resources) * max(1, len(rule.names)) + len(rule.paths))
        if pieces > _MOST_PIECES:
            if not _covers_all(table):
                missing.append(rule)
            continue
        missing.extend(piece for piece in _pieces(rule) if not _covers(table, piece))
    return _compact(missing)


def _pieces(rule: Rule) -> Iterator[Rule]:
    names: list[tuple[str, ...]] = [(name,) for name in rule.names] or [()]
    for group in rule.groups:
        for resource in rule.resources:
            for verb in rule.verbs:
                for name in names:
                    yield Rule((verb,), (group,), (resource,), name)
    for path in rule.paths:
        for verb in rule.verbs:
            yield Rule((verb,), paths=(path,))


def _covers(table: Table, piece: Rule) -> bool:
    if piece.paths:
        return table.allows_path(piece.verbs[0], piece.paths[0])
    resource, _, subresource = piece.resources[0].partition("/")
    name = piece.names[0] if piece.names else None
    return table.allows(piece.verbs[0], piece.groups[0], resource, subresource, name)


def _covers_all(table: Table) -> bool:
    return all(_covers(table, rule) for rule in _EVERYTHING)


def _compact(rules: Iterable[Rule]) -> list[Rule]:
    """Rules about one resource, or one object of it, that differ in their verbs, as one."""
    verbs: dict[Rule, list[str]] = {}
    whole = []
    for rule in rules:
        if rule.paths or len(rule.groups) != 1 or len(rule.resources) != 1 or len(rule.names) > 1:
            whole.append(rule)
        else:
            verbs.setdefault(Rule((), rule.groups, rule.resources, rule.names), []).extend(rule.verbs)
    return whole + [Rule(tuple(each), key.groups, key.resources, key.names) for key, each in verbs.items()]


def _aggregates(role: Tree | None) -> bool:
    return bool(((role or {}).get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _only_for_collectors(obj: Tree, old: Tree | None) -> bool:
    """Whether a write only changes what garbage collection works on, which grants nothing."""
    if old is None:
        return False
    ignored = ("ownerReferences", "finalizers", "selfLink", "managedFields", "resourceVersion")

    def rest(tree: Tree) -> dict[str, Any]:
        metadata = {key: value for key, value in tree["metadata"].items() if key not in ignored}
        # The type says nothing, and not every tree carries it.
        return {**tree, "metadata": metadata, "kind": "", "apiVersion": ""}

    return rest(obj) == rest(old)


def _told(resource: str, exc: MissingRole) -> str:
    """How a missing role is told: under the resource that is written, as upstream's registry tells it."""
    if exc.ref.kind not in ("ClusterRole", "Role"):
        return str(exc)
    return f"{resource}.{GROUP} {quote(exc.ref.name)} not found"


def _not_found(resource: str, exc: MissingRole) -> APIError:
    if exc.ref.kind not in ("ClusterRole", "Role"):
        return APIError.of(500, "", str(exc))
    details = {"name": exc.ref.name, "group": GROUP, "kind": resource}
    return APIError(failure(404, "NotFound", _told(resource, exc), details))
