"""Claims for devices, in quotas. Source: k8s.io/kubernetes/pkg/quota/v1/evaluator/core (resource_claims.go)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hyperkube_machinery import meta
from hyperkube_machinery.quantity import Quantity
from hyperkube_machinery.quota.amounts import ONE, ZERO, raised
from hyperkube_machinery.quota.evaluator import Evaluator, Tree, count_name
from hyperkube_machinery.quota.lookup import Lookup, resource_of_classes
from hyperkube_machinery.quota.pods import Pods, is_extended_request

__all__ = ["DeviceClaims"]

_GROUP, _RESOURCE = "resource.k8s.io", "resourceclaims"
_COUNT = count_name(_GROUP, _RESOURCE)
_PER_CLASS = ".deviceclass.resource.k8s.io/devices"
_IMPLICIT = "requests.deviceclass.resource.kubernetes.io/"
_FOR_EXTENDED = "resource.kubernetes.io/extended-resource-claim"
_MOST_RESULTS = 32
"""What a claim for all devices may come to."""


class DeviceClaims(Evaluator):
    """Claims, and the devices of each class that they may come to."""

    def __init__(self, lookup: Lookup, pods: Pods) -> None:
        super().__init__(_GROUP, _RESOURCE)
        self._lookup = lookup
        self._pods = pods

    def handles(self, operation: str, subresource: str, obj: Tree, old: Tree | None) -> bool:
        return not subresource and operation in ("CREATE", "UPDATE")

    def counted(self, names: Iterable[str]) -> list[str]:
        known: dict[str, str] | None = None
        found = set()
        for name in names:
            if name == _COUNT or name.endswith(_PER_CLASS):
                found.add(name)
            elif name.startswith(_IMPLICIT) or is_extended_request(name):
                known = resource_of_classes(self._lookup) if known is None else known
                asked = name.removeprefix("requests.")
                if name.removeprefix(_IMPLICIT) in known or asked in known.values():
                    found.add(name)
        return sorted(found)

    def usage(self, obj: Tree) -> dict[str, Quantity]:
        usage: dict[str, Quantity] = {_COUNT: ONE}
        for request in (((obj.get("spec") or {}).get("devices") or {}).get("requests")) or ():
            alternatives = request.get("firstAvailable") or ()
            exactly = request.get("exactly")
            most: dict[str, Quantity] = {}
            for one in alternatives or ((exactly,) if exactly is not None else ()):
                most = raised(most, {f"{one.get('deviceClassName', '')}{_PER_CLASS}": _devices(one)})
            for name, amount in most.items():
                if amount or not alternatives:  # alternatives of no devices are none
                    usage[name] = usage.get(name, ZERO) + amount
        return {**usage, **self._as_extended(usage, self._accounted(obj))}

    def _as_extended(self, usage: Mapping[str, Quantity], accounted: Mapping[str, Quantity]) -> dict[str, Quantity]:
        """The same devices as extended resources, without those that the pod is charged for that they are for."""
        known = resource_of_classes(self._lookup)
        extended = {}
        for name, amount in usage.items():
            kind = name.removesuffix(_PER_CLASS)
            if kind and kind != name:
                extended[f"{_IMPLICIT}{kind}"] = amount
                if kind in known:
                    extended[f"requests.{known[kind]}"] = amount
        left = {name: amount - accounted.get(name, ZERO) for name, amount in extended.items()}
        return {name: amount for name, amount in left.items() if amount > ZERO}

    def _accounted(self, claim: Tree) -> Mapping[str, Quantity]:
        """What the pod uses that a claim was made for, if it is the one claim for its extended resources."""
        owner = meta.controller_of(claim)
        if meta.annotations_of(claim).get(_FOR_EXTENDED) != "true" or not _is_pod(owner):
            return {}
        assert owner is not None
        namespace = meta.namespace(claim)
        pod = self._lookup.pod(namespace, owner.get("name") or "")
        if pod is None or meta.uid(pod) != owner.get("uid"):
            return {}
        told = (pod.get("status") or {}).get("extendedResourceClaimStatus")
        if told is not None:
            return self._pods.usage(pod) if told.get("resourceClaimName") == meta.name(claim) else {}
        own = _age(claim)
        others = (one for one in self._lookup.claims(namespace) if _is_for(one, meta.uid(pod)))
        return {} if any(_age(one) < own for one in others) else self._pods.usage(pod)


def _devices(request: Tree) -> Quantity:
    match request.get("allocationMode"):
        case "ExactCount":
            return Quantity.parse(str(request.get("count") or 0))
        case "All":
            return Quantity.parse(str(_MOST_RESULTS))
    return ZERO


def _is_pod(owner: Tree | None) -> bool:
    return owner is not None and owner.get("kind") == "Pod" and owner.get("apiVersion") == "v1"


def _is_for(claim: Tree, uid: str) -> bool:
    owner = meta.controller_of(claim)
    extended = meta.annotations_of(claim).get(_FOR_EXTENDED) == "true"
    return extended and owner is not None and _is_pod(owner) and owner.get("uid") == uid


def _age(claim: Tree) -> tuple[str, str]:
    return meta.metadata(claim).get("creationTimestamp") or "", meta.name(claim)
