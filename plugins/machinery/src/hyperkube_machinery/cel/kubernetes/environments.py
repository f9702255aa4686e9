"""The environments of Kubernetes' expressions: language and libraries as the API servers of this release have them.

Expressions that are stored and new ones are read alike: what upstream keeps from new ones until every server of a
cluster knows it has been known to the release before this one.
Source: k8s.io/apiserver/pkg/cel/environment/base.go.
"""

from __future__ import annotations

from functools import cache

from hyperkube_machinery.cel.environment import Environment
from hyperkube_machinery.cel.kubernetes.authorization import AUTHORIZATION, SELECTORS
from hyperkube_machinery.cel.kubernetes.costs import COSTS
from hyperkube_machinery.cel.kubernetes.formats import FORMATS
from hyperkube_machinery.cel.kubernetes.jsonpatches import JSON_PATCHES
from hyperkube_machinery.cel.kubernetes.lists import LISTS
from hyperkube_machinery.cel.kubernetes.networks import CIDRS, IPS
from hyperkube_machinery.cel.kubernetes.quantities import QUANTITIES
from hyperkube_machinery.cel.kubernetes.regexes import REGEXES
from hyperkube_machinery.cel.kubernetes.urls import URLS
from hyperkube_machinery.cel.kubernetes.versions import VERSIONS
from hyperkube_machinery.cel.libraries import lists, optionals, sets, strings, twovariables

__all__ = ["base_environment", "mutation_environment"]


@cache
def base_environment() -> Environment:
    """What every expression may use; it has no variables."""
    return Environment(
        libraries=(
            *(URLS, REGEXES, LISTS, AUTHORIZATION, QUANTITIES, IPS, CIDRS, FORMATS, SELECTORS, VERSIONS),
            *(optionals.LIBRARY, strings.LIBRARY, sets.LIBRARY, twovariables.LIBRARY, lists.LIBRARY),
        ),
        costs=COSTS,
    )


@cache
def mutation_environment() -> Environment:
    """That, and what patches need."""
    return base_environment().extend(libraries=(JSON_PATCHES,))
