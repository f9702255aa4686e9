"""Who may do what: the authorizers, their union, and the texts of a refusal."""

from hyperkube_apiserver.authz.aggregation import aggregate
from hyperkube_apiserver.authz.attributes import Attributes, ResourceAttributes
from hyperkube_apiserver.authz.authorizers import (
    ALLOWED,
    DENIED,
    AlwaysAllow,
    AlwaysDeny,
    Authorizer,
    Decision,
    PrivilegedGroup,
    PromptAuthorizer,
    ReviewingAuthorizer,
    Rules,
    Ruling,
    Union,
    decided,
    require_create,
    union,
)
from hyperkube_apiserver.authz.deciding import Answered, Undecided, deciding
from hyperkube_apiserver.authz.escalation import Escalation
from hyperkube_apiserver.authz.forbidden import forbidden
from hyperkube_apiserver.authz.impersonation import LastModes, impersonate, impersonates
from hyperkube_apiserver.authz.rbac import RBAC

__all__ = [
    "ALLOWED",
    "DENIED",
    "RBAC",
    "AlwaysAllow",
    "AlwaysDeny",
    "Answered",
    "Attributes",
    "Authorizer",
    "Decision",
    "Escalation",
    "LastModes",
    "PrivilegedGroup",
    "PromptAuthorizer",
    "ResourceAttributes",
    "ReviewingAuthorizer",
    "Rules",
    "Ruling",
    "Undecided",
    "Union",
    "aggregate",
    "decided",
    "deciding",
    "forbidden",
    "impersonate",
    "impersonates",
    "require_create",
    "union",
]
