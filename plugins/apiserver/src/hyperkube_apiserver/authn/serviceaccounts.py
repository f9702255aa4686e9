"""Tokens of service accounts: what they say, who may have them, and whether they still count.

A token is bound to its account, and often to a pod, a secret or a node; when what it is bound to is gone, so is it.
Source: k8s.io/kubernetes/pkg/serviceaccount (claims.go, legacy.go, jwt.go),
k8s.io/apiserver/pkg/authentication/serviceaccount.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

from hyperkube_apiserver.authn.claims import Named, audiences_of, named_in, text_of, time_of, tree_of
from hyperkube_apiserver.authn.jwt import KeySet, TokenError, claimed_issuer
from hyperkube_machinery import meta, timestamps
from hyperkube_machinery.identity import Identity, service_account_groups, split_service_account
from hyperkube_machinery.schema.exact import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hyperkube_machinery.clock import Clock

__all__ = ["Bound", "Objects", "ServiceAccountTokens", "claims"]

LEEWAY_SECONDS = 60
"""How far the clocks of whoever issues and whoever verifies may be apart."""
REMEMBERED = 4096
"""How many tokens are kept whose signature was found right: verifying one takes a tenth of a millisecond."""

LEGACY_ISSUER = "kubernetes/serviceaccount"
_LEGACY = "kubernetes.io/serviceaccount/"
_INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
_OURS = "kubernetes.io"
_EXTRA = "authentication.kubernetes.io/"
_GONE = "service account token has been invalidated"

Tree = dict[str, Any]


class Objects(Protocol):
    """Where what tokens are bound to is looked up."""

    def find(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The object of the core group, as it is now, with its labels, its identity and a secret's token at least.

        It is not to be changed.
        """


@dataclass(frozen=True, slots=True)
class Bound:
    """What a new token is bound to beside its account; at most one, but a pod brings its node with it."""

    pod: Mapping[str, Any] | None = None
    secret: Mapping[str, Any] | None = None
    node: Mapping[str, Any] | None = None


def claims(
    account: Mapping[str, Any],
    bound: Bound,
    *,
    issuer: str,
    audiences: Sequence[str],
    now: float,
    lasts_seconds: int,
    warn_after_seconds: int = 0,
    token_id: str,
) -> Tree:
    """What a token for `account` says; `now` in seconds since the epoch."""
    namespace, name = meta.namespace(account), meta.name(account)
    ours: Tree = {"namespace": namespace, "serviceaccount": _reference(account)}
    for kind, obj in (("pod", bound.pod), ("secret", bound.secret), ("node", bound.node)):
        if obj is not None:
            ours[kind] = _reference(obj)
    at = int(now)
    if warn_after_seconds:
        ours["warnafter"] = at + warn_after_seconds
    return {
        "aud": list(audiences),
        "exp": at + lasts_seconds,
        "iat": at,
        "iss": issuer,
        "jti": token_id,
        _OURS: ours,
        "nbf": at,
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }


def _reference(obj: Mapping[str, Any]) -> Tree:
    told = {"name": meta.name(obj), "uid": meta.uid(obj)}
    return {field: value for field, value in told.items() if value}


class ServiceAccountTokens:
    """Tells whom a token of a service account stands for."""

    def __init__(
        self,
        keys: KeySet,
        issuers: Iterable[str],
        audiences: Sequence[str],
        objects: Objects,
        clock: Clock,
        *,
        lookup: bool = True,
        used: Callable[[Mapping[str, Any]], None] = lambda secret: None,
    ) -> None:
        self._keys = keys
        self._issuers = frozenset(issuers)
        self._audiences = tuple(audiences)  # this server's
        self._objects = objects
        self._clock = clock
        self._lookup = lookup  # whether tokens that are kept in secrets must still be there
        self._used = used  # is told of each secret whose token was shown
        self._secret = secrets.token_bytes(32)
        self._verified: dict[bytes, Tree] = {}

    def authenticate(self, token: str, audiences: Sequence[str]) -> tuple[Identity, tuple[str, ...]] | None:
        """Whom `token` stands for, and for which of `audiences` it is meant.

        None for what is no token of a service account. Raises TokenError for one that doesn't count.
        """
        digest = blake2b(token.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=32).digest()
        told = self._verified.get(digest)
        if told is None:
            issuer = claimed_issuer(token)
            if issuer is None or not (issuer in self._issuers or issuer == LEGACY_ISSUER):
                return None
            told = self._keys.claims(token)
            self._remember(digest, told)
        meant = audiences_of(told) or self._audiences
        common = tuple(audience for audience in meant if audience in audiences)
        if not common and self._audiences:
            raise TokenError(f"token audiences {_list(meant)} is invalid for the target audiences {_list(audiences)}")
        if told["iss"] == LEGACY_ISSUER and LEGACY_ISSUER not in self._issuers:
            identity = self._kept(told, token)
        else:
            self._check_times(told)
            identity = self._bound(told)
        return identity.authenticated(), common

    def _remember(self, digest: bytes, told: Tree) -> None:
        if len(self._verified) >= REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = told

    def _check_times(self, told: Tree) -> None:
        now = self._clock.now()
        if now + LEEWAY_SECONDS < time_of(told, "nbf", now):
            raise TokenError("service account token is not valid yet")
        if now - LEEWAY_SECONDS > time_of(told, "exp", now):
            raise TokenError("service account token has expired")
        if now + LEEWAY_SECONDS < time_of(told, "iat", now):
            raise TokenError("service account token is issued in the future")

    # Tokens that were asked for

    def _bound(self, told: Tree) -> Identity:
        ours = tree_of(told, _OURS)
        namespace = text_of(ours, "namespace")
        account = named_in(ours, "serviceaccount") or Named("", "")
        found = self._account(namespace, account.name)
        if meta.uid(found) != account.uid:
            raise TokenError(f"service account UID ({meta.uid(found)}) does not match claim ({account.uid})")
        if self._deleted(found):
            raise TokenError(f"service account {namespace}/{account.name} has been deleted")
        secret, pod, node = (named_in(ours, kind) for kind in ("secret", "pod", "node"))
        if secret is not None:
            self._check(secret, "secret", namespace)
        if pod is not None:
            self._check(pod, "pod", namespace)
        elif node is not None:
            self._check(node, "node", "")
        extra: dict[str, tuple[str, ...]] = {}
        if pod is not None and pod.name and pod.uid:
            extra |= {f"{_EXTRA}pod-name": (pod.name,), f"{_EXTRA}pod-uid": (pod.uid,)}
        if token_id := text_of(told, "jti"):
            extra[f"{_EXTRA}credential-id"] = (f"JTI={token_id}",)
        if node is not None and node.name:
            extra[f"{_EXTRA}node-name"] = (node.name,)
            if node.uid:
                extra[f"{_EXTRA}node-uid"] = (node.uid,)
        return _identity(namespace, account, extra)

    def _account(self, namespace: str, name: str) -> Mapping[str, Any]:
        found = self._objects.find("serviceaccounts", namespace, name)
        if found is None:
            raise TokenError(f"serviceaccounts {quoted(name)} not found")
        return found

    def _check(self, bound: Named, kind: str, namespace: str) -> None:
        """Raise unless what a token is bound to is there, the same as then, and was not deleted a while ago."""
        found = self._objects.find(f"{kind}s", namespace, bound.name)
        if found is None:
            raise TokenError(_GONE)
        if meta.uid(found) != bound.uid:
            raise TokenError(
                f"{kind} UID ({meta.uid(found)}) does not match service account {kind} ref claim ({bound.uid})"
            )
        if self._deleted(found):
            raise TokenError(_GONE)

    def _deleted(self, obj: Mapping[str, Any]) -> bool:
        when = meta.deletion_timestamp(obj)
        return when is not None and timestamps.parse(when) < self._clock.now() - LEEWAY_SECONDS

    # Tokens that are kept in secrets

    def _kept(self, told: Tree, token: str) -> Identity:
        subject = text_of(told, "sub")
        claimed = {
            "sub": subject,
            "namespace": text_of(told, f"{_LEGACY}namespace"),
            "secretName": text_of(told, f"{_LEGACY}secret.name"),
            "serviceAccountName": text_of(told, f"{_LEGACY}service-account.name"),
            "serviceAccountUID": text_of(told, f"{_LEGACY}service-account.uid"),
        }
        for claim, value in claimed.items():
            if not value:
                raise TokenError(f"{claim} claim is missing")
        namespace, name, uid = (claimed[claim] for claim in ("namespace", "serviceAccountName", "serviceAccountUID"))
        if split_service_account(subject) != (namespace, name):
            raise TokenError("sub claim is invalid")
        if self._lookup:
            self._check_kept(namespace, Named(name, uid), claimed["secretName"], token)
        return _identity(namespace, Named(name, uid), {})

    def _check_kept(self, namespace: str, account: Named, secret_name: str, token: str) -> None:
        secret = self._objects.find("secrets", namespace, secret_name)
        if secret is None or meta.deletion_timestamp(secret) is not None:
            raise TokenError("Token has been invalidated")
        kept = b64decode((secret.get("data") or {}).get("token") or "")
        if not hmac.compare_digest(kept, token.encode("utf-8", "surrogatepass")):
            raise TokenError("Token does not match server's copy")
        found = self._account(namespace, account.name)
        if meta.deletion_timestamp(found) is not None:
            raise TokenError(f"ServiceAccount {namespace}/{account.name} has been deleted")
        if meta.uid(found) != account.uid:
            raise TokenError(f"ServiceAccount UID ({meta.uid(found)}) does not match claim ({account.uid})")
        self._used(secret)  # also if it is of no use any more: whoever has it would like to know
        if meta.labels_of(secret).get(_INVALID_SINCE):
            raise TokenError(
                f"the token in secret {namespace}/{secret_name} for service account {namespace}/{account.name} has "
                "been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, "
                f"or remove the '{_INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            )


def _identity(namespace: str, account: Named, extra: Mapping[str, tuple[str, ...]]) -> Identity:
    user = f"system:serviceaccount:{namespace}:{account.name}"
    return Identity(user, account.uid, service_account_groups(namespace), extra)


def _list(texts: Iterable[str]) -> str:
    return "[" + " ".join(map(quoted, texts)) + "]"
