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
    ReviewingAuthorizer,
    Rules,
    Union,
    require_create,
    union,
)
from hyperkube_apiserver.authz.escalation import Escalation
from hyperkube_apiserver.authz.forbidden import forbidden
from hyperkube_apiserver.authz.impersonation import impersonate
from hyperkube_apiserver.authz.rbac import RBAC

__all__ = [
    "ALLOWED",
    "DENIED",
    "RBAC",
    "AlwaysAllow",
    "AlwaysDeny",
    "Attributes",
    "Authorizer",
    "Decision",
    "Escalation",
    "PrivilegedGroup",
    "ResourceAttributes",
    "ReviewingAuthorizer",
    "Rules",
    "Union",
    "aggregate",
    "forbidden",
    "impersonate",
    "require_create",
    "union",
]
