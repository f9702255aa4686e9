"""Who may do what on an API, put together: authenticators, authorizers, and the reviews and tokens that they answer.

Nothing here knows flags or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from hyperkube_apiserver.assembly import API, follow_roles
from hyperkube_apiserver.authn import Authenticator, BootstrapTokens, KeySet, ServiceAccountTokens, StaticTokens
from hyperkube_apiserver.authn.authenticator import ANYWHERE, Anonymity, TokenAuthenticator
from hyperkube_apiserver.authz import RBAC, AlwaysAllow, AlwaysDeny, Escalation, ReviewingAuthorizer, union
from hyperkube_apiserver.authz.node import NodeAuthorizer
from hyperkube_apiserver.bootstrap import node_rules
from hyperkube_apiserver.call import Served
from hyperkube_apiserver.handlers import catalog
from hyperkube_apiserver.handlers.connect.targets import KubeletTerms
from hyperkube_apiserver.handlers.tokens import Issuer
from hyperkube_apiserver.handlers.virtual import Handlers
from hyperkube_apiserver.issuance import CachedObjects
from hyperkube_apiserver.noderelations import NodeRelations
from hyperkube_apiserver.tokentracking import TokenUses
from hyperkube_machinery.clock import Clock

if TYPE_CHECKING:
    from hyperkube_apiserver.authn.authorities import Authorities
    from hyperkube_apiserver.authn.frontproxy import FrontProxy

__all__ = ["Access", "Modes", "Terms", "open_access"]

_BOUND = ("serviceaccounts", "pods", "secrets", "nodes")
"""What tokens can be bound to."""
_READ_OFF = (
    ("", "pods"),
    ("", "persistentvolumes"),
    ("storage.k8s.io", "volumeattachments"),
    ("resource.k8s.io", "resourceslices"),
)
"""What tells which objects a node has to do with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Whom an API lets in, and on which terms."""

    issuer: Issuer
    keys: KeySet  # whose tokens are believed
    issuers: tuple[str, ...] = ()  # those that are believed beside `issuer`, as after a change of its name
    looks_up_kept: bool = True  # whether tokens that are kept in secrets must still be there
    static: StaticTokens | None = None
    bootstrap: bool = False  # whether tokens of machines that join are known
    others: Sequence[TokenAuthenticator] = ()  # who know tokens that nobody else does
    anonymity: Anonymity = ANYWHERE
    proxy: FrontProxy | None = None
    users: Authorities | None = None  # whose certificates name users, where TLS trusts others too
    modes: Sequence[str | ReviewingAuthorizer] = ("Node", "RBAC")  # who decides, in order
    kubelets: KubeletTerms = field(default_factory=KubeletTerms.unchecked)


class Modes:
    """Who decides on requests, in an order that may change while the server runs."""

    def __init__(self, api: API, rbac: RBAC, modes: Sequence[str | ReviewingAuthorizer]) -> None:
        self._api = api
        self._rbac = rbac
        self._nodes: NodeAuthorizer | None = None
        self.authorizer = union(self._of(modes))

    def change(self, modes: Sequence[str | ReviewingAuthorizer]) -> None:
        """Have these decide from now on."""
        self.authorizer.replace(union(self._of(modes)))

    def _of(self, modes: Sequence[str | ReviewingAuthorizer]) -> list[ReviewingAuthorizer]:
        return [self._named(mode) if isinstance(mode, str) else mode for mode in modes]

    def _named(self, mode: str) -> ReviewingAuthorizer:
        match mode:
            case "Node":
                if self._nodes is None:
                    caches = (self._api.resource(group, name).cache for group, name in _READ_OFF)
                    self._nodes = NodeAuthorizer(NodeRelations(*caches), node_rules())
                return self._nodes
            case "RBAC":
                return self._rbac
            case "AlwaysAllow":
                return AlwaysAllow()
            case "AlwaysDeny":
                return AlwaysDeny()
        raise ValueError(f"{mode} is no authorization mode")


@dataclass(frozen=True, slots=True)
class Access:
    """What a pipeline asks about identities and permissions."""

    authenticator: Authenticator
    modes: Modes
    escalation: Escalation
    handlers: Handlers  # of what is not read from and written to the store

    @property
    def authorizer(self) -> ReviewingAuthorizer:
        """What all modes come to."""
        return self.modes.authorizer


def _core(api: API) -> dict[str, Served]:
    """The resources that requests are passed on for, and those that lead to where."""
    return {name: api.resource("", name) for name in ("endpoints", "nodes", "pods", "services")}


def open_access(api: API, clock: Clock, terms: Terms, uses: TokenUses | None = None) -> Access:
    """Put it together; roles, bindings and what nodes may read are followed from here on.

    `uses` is told which tokens that are kept in secrets are used.
    """
    resources = {name: api.resource("", name) for name in _BOUND}
    issuer, objects = terms.issuer, CachedObjects(resources)
    authenticator = Authenticator(
        clock=clock,
        tokens=terms.static,
        accounts=ServiceAccountTokens(
            terms.keys,
            (issuer.name, *terms.issuers),
            issuer.audiences,
            objects,
            clock,
            lookup=terms.looks_up_kept,
            used=(uses or TokenUses(clock)).note,
        ),
        bootstrap=BootstrapTokens(partial(objects.whole, "secrets"), clock) if terms.bootstrap else None,
        audiences=issuer.audiences,
        others=terms.others,
        anonymity=terms.anonymity,
        proxy=terms.proxy,
        users=terms.users,
    )
    rbac = RBAC()
    follow_roles(api, rbac)
    modes = Modes(api, rbac, terms.modes)
    authorizer = api.cluster.authorizer = modes.authorizer
    handlers = {
        **catalog.bindings(api.kinds, resources["pods"]),
        **catalog.component_statuses(api.kinds, api.hub, clock),
        **catalog.connections(
            *(_core(api), api.hub, authorizer, terms.kubelets), clock=clock, registry=api.instruments.registry
        ),
        **catalog.evictions(resources["pods"], api.resource("policy", "poddisruptionbudgets"), api.hub),
        **catalog.reviews(api.kinds, authenticator, authorizer, api.admission, clock),
        **catalog.token_requests(issuer, resources, api.admission, api.hub, clock),
    }
    return Access(authenticator, modes, Escalation(rbac, authorizer), handlers)
