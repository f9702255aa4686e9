"""Rules of custom resources: what `x-kubernetes-validations` ask of values, in CEL."""

from hyperkube_apiserver.crd.rules.evaluation import Budget
from hyperkube_apiserver.crd.rules.rules import BUDGET, Rules, compile_rules

__all__ = ["BUDGET", "Budget", "Rules", "compile_rules"]
