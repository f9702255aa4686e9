"""What quotas count: how much of which resource an object uses, and which quotas it falls under.

Admission asks before an object is made, the resource quota controller adds up what is there; both by the same rules.

    amounts      resource lists, calculated with
    evaluator    what is asked of each kind: which resources it counts, which scopes it knows, what an object uses
    pods, services, storageclaims, deviceclaims, counts      the kinds
    catalog      who counts what

Source: k8s.io/apiserver/pkg/quota/v1, k8s.io/kubernetes/pkg/quota/v1.
"""

from hyperkube_machinery.quota.amounts import ZERO, Amounts, added, exceeding, only, read, reduced, shown, written
from hyperkube_machinery.quota.catalog import IGNORED, Evaluators
from hyperkube_machinery.quota.evaluator import Evaluator, Requirement, requirements_of
from hyperkube_machinery.quota.lookup import NOTHING_KNOWN, Lookup
from hyperkube_machinery.quota.usage import hard_of, used_by

__all__ = [
    "IGNORED",
    "NOTHING_KNOWN",
    "ZERO",
    "Amounts",
    "Evaluator",
    "Evaluators",
    "Lookup",
    "Requirement",
    "added",
    "exceeding",
    "hard_of",
    "only",
    "read",
    "reduced",
    "requirements_of",
    "shown",
    "used_by",
    "written",
]
