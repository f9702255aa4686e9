"""Acting as somebody else: `Impersonate-User`, `-Group`, `-Uid` and `-Extra-…`.

A requester is allowed to by one of several modes, tried in turn: the constrained ones ask for a permission to
impersonate that kind of user and for one to do this very request in its name, the last one only for `impersonate`.
Where none does, the refusal is that of the first: of the one that allowed something to the requester last, if any did.
Source: k8s.io/apiserver/pkg/endpoints/filters/impersonation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from hyperkube_apiserver.authz.attributes import Attributes, ResourceAttributes
from hyperkube_apiserver.authz.extrakeys import extra_key_errors
from hyperkube_apiserver.authz.forbidden import forbidden, quote
from hyperkube_machinery.errors import APIError, aggregated
from hyperkube_machinery.identity import (
    ANONYMOUS,
    AUTHENTICATED,
    MASTERS,
    NODES,
    UNAUTHENTICATED,
    Identity,
    node_name,
    service_account_groups,
    split_service_account,
)
from hyperkube_machinery.remembering import Latest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyperkube_apiserver.authz.authorizers import PromptAuthorizer

__all__ = ["LastModes", "impersonate", "impersonates"]

_USER = "impersonate-user"
_GROUP = "impersonate-group"
_UID = "impersonate-uid"
_EXTRA = "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"
_NODE_EXTRA = "authentication.kubernetes.io/node-name"
_NODE_KEYS = "authentication.kubernetes.io/associated-node-keys"
_MANY = 4  # from so many groups or extra values on, permission for all of them is asked for first


def impersonates(headers: Mapping[str, str]) -> bool:
    """Whether the headers (in lower case) of a request say that it acts as somebody else."""
    return any(name.startswith("impersonate-") for name in headers)


def impersonate(
    identity: Identity,
    headers: Mapping[str, str],
    authorizer: PromptAuthorizer,
    info: Attributes,
    repeated: Mapping[str, Sequence[str]] = MappingProxyType({}),
    *,
    last: LastModes | None = None,
) -> Identity:
    """Whom a request by `identity` acts as: `identity` itself unless its headers (in lower case) say otherwise.

    `repeated` are the values of headers that came more than once, `last` are the modes that requesters were allowed by
    last: that is tried first, and its refusal told. Raises APIError 403 where it may not act so, and 400 where the
    headers name no user.
    """
    wanted = _wanted(headers, repeated)
    if wanted is None:
        return identity
    asker = _Asker(identity, authorizer, info)
    first: APIError | None = None
    before = last.get(identity.name) if last is not None else None
    for mode in _MODES if before is None else (before, *(one for one in _MODES if one is not before)):
        if not mode.fits(wanted, identity):
            continue
        try:
            found = mode.check(asker, wanted)
        except APIError as refusal:
            first = first or refusal
            continue
        if last is not None:
            last.put(identity.name, mode)
        return found
    assert first is not None  # the last mode fits everybody
    raise first


def _wanted(headers: Mapping[str, str], repeated: Mapping[str, Sequence[str]]) -> Identity | None:
    """The user whom the headers ask for, exactly as they say."""
    if not impersonates(headers):
        return None

    def values(name: str) -> Sequence[str]:
        return repeated.get(name) or ((headers[name],) if name in headers else ())

    user, uid = (next(iter(values(name)), "") for name in (_USER, _UID))
    groups = tuple(values(_GROUP))
    extra: dict[str, tuple[str, ...]] = {}
    for name in headers:
        if name.startswith(_EXTRA):
            key = unquote(name[len(_EXTRA) :], errors="surrogateescape")
            extra[key] = (*extra.get(key, ()), *values(name))
    if user:
        return Identity(user, uid, groups, extra)
    if uid or groups or extra:
        shown = _go_syntax(uid, groups, extra)
        raise APIError.bad_request(f"requested {shown} without impersonating a user name")
    return None


def _go_syntax(uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]) -> str:
    """The user as Go's %#v shows it: what the API server puts into its message."""

    def strings(values: tuple[str, ...]) -> str:
        return "{" + ", ".join(map(quote, values)) + "}"

    shown_groups = f"[]string{strings(groups)}" if groups else "[]string(nil)"
    pairs = ", ".join(f"{quote(key)}:[]string{strings(values)}" for key, values in sorted(extra.items()))
    shown_extra = f"map[string][]string{{{pairs}}}" if extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{quote(uid)}, Groups:{shown_groups}, Extra:{shown_extra}}}'


@dataclass(frozen=True, slots=True)
class _Asker:
    """The requester's side of a question."""

    identity: Identity
    authorizer: PromptAuthorizer
    info: Attributes

    def may(self, asked: Attributes) -> None:
        """Return where the requester may; raise the refusal where it may not."""
        decision = self.authorizer.authorize(self.identity, asked)
        if not decision.allowed:
            why = ": ".join(filter(None, (decision.error, decision.reason)))
            raise forbidden(self.identity, asked, why)

    def in_the_name_of(self, mode: str) -> ResourceAttributes:
        """The request itself, as something done by impersonation."""
        info = self.info
        return ResourceAttributes(
            verb=f"impersonate-on:{mode}:{info.verb}",
            group=info.group,
            resource=info.resource,
            subresource=info.subresource,
            namespace=info.namespace,
            name=info.name,
            field_selector=info.field_selector,
            label_selector=info.label_selector,
            version=info.version,
            is_resource=info.is_resource,
            path=info.path,
        )


@dataclass(frozen=True, slots=True)
class _Mode:
    """One kind of permission to impersonate."""

    name: str  # "" for the oldest, which is not bound to what the request does
    fits: Callable[[Identity, Identity], bool]  # (wanted, requester)

    def check(self, asker: _Asker, wanted: Identity) -> Identity:
        """The user to act as. Raises APIError 403."""
        if self.name == "associated-node":
            keys = tuple(sorted(asker.identity.extra))
            asker = replace(asker, identity=replace(asker.identity, extra={_NODE_KEYS: keys}))
        if self.name:
            asker.may(asker.in_the_name_of(self.name))
        groups = self._user(asker, wanted)
        if wanted.uid:
            asker.may(self._asked("uids", wanted.uid, group=_AUTHENTICATION))
        self._groups(asker, wanted.groups)
        self._extra(asker, wanted.extra)
        if wanted.name == ANONYMOUS:
            groups = groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
        elif UNAUTHENTICATED not in groups and AUTHENTICATED not in groups:
            groups = (*groups, AUTHENTICATED)
        return Identity(wanted.name, wanted.uid, groups, wanted.extra)

    def _asked(
        self, resource: str, name: str, *, subresource: str = "", namespace: str = "", group: str | None = None
    ) -> ResourceAttributes:
        return ResourceAttributes(
            verb=f"impersonate:{self.name}" if self.name else "impersonate",
            group=(_AUTHENTICATION if self.name else "") if group is None else group,
            resource=resource,
            subresource=subresource,
            namespace=namespace,
            name=name,
            version="v1",
        )

    def _user(self, asker: _Asker, wanted: Identity) -> tuple[str, ...]:
        """The groups that come with the user."""
        account = split_service_account(wanted.name)
        if account is not None:
            namespace, name = account
            asker.may(self._asked("serviceaccounts", name, namespace=namespace))
            return wanted.groups or service_account_groups(namespace)
        node = node_name(wanted.name) if self.name else None
        if node is not None:
            asker.may(self._asked("nodes", "*" if self.name == "associated-node" else node))
            return (NODES,)
        asker.may(self._asked("users", wanted.name))
        return wanted.groups

    def _groups(self, asker: _Asker, groups: tuple[str, ...]) -> None:
        if self.name and groups:
            if "" in groups:
                why = "impersonating the empty string group is not allowed"
                raise forbidden(asker.identity, self._asked("groups", ""), why)
            if MASTERS in groups:
                why = f"impersonating the {MASTERS} group is not allowed"
                raise forbidden(asker.identity, self._asked("groups", MASTERS), why)
            if len(groups) >= _MANY and self._may(asker, self._asked("groups", "*")):
                return
        for group in groups:
            asker.may(self._asked("groups", group))

    def _extra(self, asker: _Asker, extra: Mapping[str, tuple[str, ...]]) -> None:
        if self.name and extra:
            why = _bad_extra(extra)
            if why:
                raise forbidden(asker.identity, self._asked("userextras", "", group=_AUTHENTICATION), why)
            everything = self._asked("userextras", "*", subresource="*", group=_AUTHENTICATION)
            if sum(map(len, extra.values())) >= _MANY and self._may(asker, everything):
                return
        for key, values in extra.items():
            for value in values:
                asker.may(self._asked("userextras", value, subresource=key, group=_AUTHENTICATION))

    @staticmethod
    def _may(asker: _Asker, asked: ResourceAttributes) -> bool:
        return asker.authorizer.authorize(asker.identity, asked).allowed


def _bad_extra(extra: Mapping[str, tuple[str, ...]]) -> str:
    """What is wrong with extra keys or values for the constrained modes; "" if nothing."""
    for key, values in extra.items():
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        if wrong := _bad_key(key):
            return f"impersonating an invalid key in extra is not allowed: {wrong}"
        if key != key.lower():
            return f"impersonating a non-lowercase key in extra is not allowed: {quote(key)}"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""


def _bad_key(key: str) -> str:
    """What keeps `key` from being a path behind a domain; "" if nothing."""
    errors = extra_key_errors("extra.key", key)
    return aggregated(f"{error.field}: {error.message}" for error in errors) if errors else ""


def _only_name(wanted: Identity) -> bool:
    return not (wanted.uid or wanted.groups or wanted.extra)


def _associated_node(wanted: Identity, requester: Identity) -> bool:
    node = node_name(wanted.name)
    return (
        _only_name(wanted)
        and node is not None
        and split_service_account(requester.name) is not None
        and requester.extra.get(_NODE_EXTRA) == (node,)
    )


def _arbitrary_node(wanted: Identity, requester: Identity) -> bool:
    return _only_name(wanted) and node_name(wanted.name) is not None


def _service_account(wanted: Identity, requester: Identity) -> bool:
    return _only_name(wanted) and split_service_account(wanted.name) is not None


def _other_user(wanted: Identity, requester: Identity) -> bool:
    return node_name(wanted.name) is None and split_service_account(wanted.name) is None


def _anybody(wanted: Identity, requester: Identity) -> bool:
    return True


LastModes: TypeAlias = Latest[str, _Mode]
"""By the name of the requester."""

_MODES = (
    _Mode("associated-node", _associated_node),
    _Mode("arbitrary-node", _arbitrary_node),
    _Mode("serviceaccount", _service_account),
    _Mode("user-info", _other_user),
    _Mode("", _anybody),
)
