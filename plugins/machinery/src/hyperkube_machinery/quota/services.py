"""Services, in quotas. Source: k8s.io/kubernetes/pkg/quota/v1/evaluator/core (services.go)."""

from __future__ import annotations

from collections.abc import Iterable

from hyperkube_machinery.quantity import Quantity
from hyperkube_machinery.quota.amounts import ONE, ZERO
from hyperkube_machinery.quota.evaluator import Evaluator, Tree

__all__ = ["Services"]

_NAMES = frozenset(("count/services", "services", "services.nodeports", "services.loadbalancers"))


class Services(Evaluator):
    """Services, and the node ports and load balancers that their types mean."""

    def __init__(self) -> None:
        super().__init__("", "services")

    def handles(self, operation: str, subresource: str, obj: Tree, old: Tree | None) -> bool:
        return not subresource and operation in ("CREATE", "UPDATE")

    def counted(self, names: Iterable[str]) -> list[str]:
        return sorted(_NAMES & set(names))

    def usage(self, obj: Tree) -> dict[str, Quantity]:
        spec = obj.get("spec") or {}
        ports = spec.get("ports") or ()
        usage = {"count/services": ONE, "services": ONE, "services.loadbalancers": ZERO, "services.nodeports": ZERO}
        if spec.get("type") == "NodePort":
            usage["services.nodeports"] = Quantity.parse(str(len(ports)))
        elif spec.get("type") == "LoadBalancer":
            # Ports may not have been given out yet: what counts is what is meant.
            given = [port for port in ports if port.get("nodePort")]
            counted = given if spec.get("allocateLoadBalancerNodePorts") is False else ports
            usage["services.nodeports"] = Quantity.parse(str(len(counted)))
            usage["services.loadbalancers"] = ONE
        return usage

    def has_freed(self, old: Tree, new: Tree) -> bool:
        return _counted_type(old) != _counted_type(new)


def _counted_type(service: Tree) -> str:
    kind = (service.get("spec") or {}).get("type")
    return kind if kind in ("NodePort", "LoadBalancer") else ""
