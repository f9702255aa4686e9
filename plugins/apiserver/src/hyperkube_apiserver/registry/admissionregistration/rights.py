"""Who may have policies read parameters: nobody sees through a policy what he could not read himself.

Source: k8s.io/kubernetes/pkg/registry/admissionregistration/*/authz.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hyperkube_apiserver.authn import MASTERS, Identity
from hyperkube_apiserver.authz import Authorizer, PromptAuthorizer, ResourceAttributes, deciding
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.generic import Rights
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_machinery.errors import FieldError

__all__ = ["rights_of"]

Tree = Mapping[str, Any]

_ANY = "*"
_POLICIES = {
    "mutatingadmissionpolicybindings": "mutatingadmissionpolicies",
    "validatingadmissionpolicybindings": "validatingadmissionpolicies",
}
_GROUP = "admissionregistration.k8s.io"


class Cluster(Protocol):
    """What is asked beside the policy."""

    @property
    def authorizer(self) -> Authorizer: ...

    def find(self, resource: str, name: str, namespace: str = "", *, group: str = "") -> dict[str, Any] | None:
        """An object by its name."""

    def kinds_called(self, kind: str, *, group: str, version: str) -> list[Kind]:
        """The served resources whose objects are of `kind`."""


def rights_of(kind: Kind, cluster: Cluster) -> Rights | None:
    """What the rights of writers of a kind of this group are, if it depends on them."""
    resource = kind.resource.resource
    if resource in _POLICIES.values():
        return _PolicyRights(cluster)
    return _BindingRights(cluster, _POLICIES[resource]) if resource in _POLICIES else None


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The sort of objects that are parameters, as far as it is known, and what keeps it from being known."""

    group: str = _ANY
    version: str = _ANY
    resource: str = _ANY
    unknown: str = ""


def _parameters(param_kind: Tree, cluster: Cluster) -> _Parameters:
    api_version, kind = param_kind.get("apiVersion") or "", param_kind.get("kind") or ""
    told = f"&ParamKind{{APIVersion:{api_version},Kind:{kind},}}"
    if api_version.count("/") > 1:
        return _Parameters(unknown=f"unable to parse paramKind {told}")
    group, _, version = api_version.rpartition("/")
    found = cluster.kinds_called(kind, group=group, version=version)
    if not found:
        return _Parameters(group, version, unknown=f"unable to resolve paramKind {told}")
    return _Parameters(group, version, found[0].resource.resource)


class _PolicyRights:
    """Whoever writes a policy must be able to read all objects that are its parameters."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __call__(
        self, policy: Tree, old: Tree | None, context: WriteContext
    ) -> list[FieldError] | Awaitable[list[FieldError]]:
        param_kind = _spec(policy).get("paramKind")
        same = old is not None and _spec(old).get("paramKind") == param_kind
        if param_kind is None or same or context.subresource or MASTERS in context.identity.groups:
            return []
        asked = _parameters(param_kind, self._cluster)
        question = ResourceAttributes(
            verb="get", group=asked.group, version=asked.version, resource=asked.resource, name=_ANY, namespace=_ANY
        )

        def check(authorizer: PromptAuthorizer) -> list[FieldError]:
            if authorizer.authorize(context.identity, question).allowed:
                return []
            why = (
                f'user {_shown(context.identity)} must have "get" permission on all objects of the referenced '
                f"paramKind (kind={param_kind.get('kind') or ''}, apiVersion={param_kind.get('apiVersion') or ''})"
            )
            return [FieldError.forbidden("spec.paramKind", why)]

        return deciding(self._cluster.authorizer, check)


class _BindingRights:
    """Whoever binds a policy to parameters must be able to read these."""

    def __init__(self, cluster: Cluster, policies: str) -> None:
        self._cluster = cluster
        self._policies = policies

    def __call__(
        self, binding: Tree, old: Tree | None, context: WriteContext
    ) -> list[FieldError] | Awaitable[list[FieldError]]:
        spec, before = _spec(binding), _spec(old or {})
        reference, name = spec.get("paramRef"), spec.get("policyName") or ""
        same = old is not None and (before.get("paramRef"), before.get("policyName")) == (reference, name)
        if reference is None or same or MASTERS in context.identity.groups:
            return []
        asked = self._asked(name)
        verb = "get" if reference.get("name") else "list"
        question = ResourceAttributes(
            verb=verb,
            group=asked.group,
            version=asked.version,
            resource=asked.resource,
            name=reference.get("name") or "",
            namespace=reference.get("namespace") or "",
        )

        def check(authorizer: PromptAuthorizer) -> list[FieldError]:
            if authorizer.authorize(context.identity, question).allowed:
                return []
            user = _shown(context.identity)
            why = f'user {user} does not have "{verb}" permission on the object referenced by paramRef'
            if asked.unknown:
                why = (
                    f'{asked.unknown} to determine minimum required permissions and user {user} does not have "{verb}" '
                    "permission for all groups, versions and resources"
                )
            return [FieldError.forbidden("spec.paramRef", why)]

        return deciding(self._cluster.authorizer, check)

    def _asked(self, name: str) -> _Parameters:
        policy = self._cluster.find(self._policies, name, group=_GROUP)
        if policy is None:
            return _Parameters(unknown=f"unable to get policy {name}")
        param_kind = _spec(policy).get("paramKind")
        return _parameters(param_kind, self._cluster) if param_kind is not None else _Parameters()


def _spec(tree: Tree) -> Tree:
    spec: Tree = tree.get("spec") or {}
    return spec


def _shown(identity: Identity) -> str:
    """A user as Go prints one."""
    extra = " ".join(f"{key}:[{' '.join(values)}]" for key, values in sorted(identity.extra.items()))
    return f"&{{{identity.name} {identity.uid} [{' '.join(identity.groups)}] map[{extra}]}}"
