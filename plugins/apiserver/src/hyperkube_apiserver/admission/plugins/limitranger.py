"""LimitRanger: what one container, pod or claim of a namespace may ask for, and what it asks for if it says nothing.

Source: k8s.io/kubernetes/plugin/pkg/admission/limitranger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.following import Readings
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_apiserver.registry.podspec.podlevel import aggregate
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery import meta
from hyperkube_machinery.errors import aggregated
from hyperkube_machinery.quantity import Quantity
from hyperkube_machinery.resources import Resource

__all__ = ["LimitRanger"]

Tree = dict[str, Any]
Amounts = Mapping[str, Quantity]
_Constraint = Callable[[str, str, Quantity, Amounts, Amounts], str]
"""What is wrong with requests and limits, "" for nothing: told the type, the resource, and its bound."""

_ANNOTATION = "kubernetes.io/limit-ranger"
_PODS, _CLAIMS = "pods", "persistentvolumeclaims"
_MOST_MILLI = (2**63 - 1) // 1000
_POD_LEVEL = ("cpu", "memory")


class LimitRanger(Plugin):
    """Containers get the defaults of their namespace, and all that is made there keeps within its bounds."""

    operations = CREATE | UPDATE
    about = (_PODS, "pods/resize", _CLAIMS)

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        self._limits = Readings(_limits_of)

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """What containers ask for can be said anew by a resize alone."""
        if not super().handles(resource, operation, subresource):
            return False
        return resource.resource != _PODS or (operation is Operation.UPDATE) == (subresource == "resize")

    def admit(self, attributes: Attributes) -> Waiting:
        """Fill in the defaults of containers."""
        if attributes.kind.resource.resource != _PODS:
            return None
        assert attributes.obj is not None
        for spec in self._specs(attributes):
            _fill_in(attributes.obj, spec)
        return None

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for what is out of bounds, with all that is wrong by one LimitRange."""
        assert attributes.obj is not None
        violations = _pod_violations if attributes.kind.resource.resource == _PODS else _claim_violations
        for spec in self._specs(attributes):
            if texts := list(violations(attributes.obj, spec)):
                raise forbidden(attributes, aggregated(texts))
        return None

    def _specs(self, attributes: Attributes) -> Iterator[list[Tree]]:
        """The limits of each LimitRange that counts: none does for what is being deleted."""
        if attributes.old is not None and meta.deletion_timestamp(attributes.old):
            return
        for item in self.cluster.items("limitranges", attributes.namespace):
            yield self._limits.of(item)


def _limits_of(item: Item) -> list[Tree]:
    return (decode_body(item.body).get("spec") or {}).get("limits") or []


def _fill_in(pod: Tree, limits: Iterable[Tree]) -> None:
    requests: dict[str, str] = {}
    most: dict[str, str] = {}
    for limit in limits:
        if limit.get("type") == "Container":
            requests |= limit.get("defaultRequest") or {}
            most |= limit.get("default") or {}
    told = []
    spec = pod.get("spec") or {}
    for field, called in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            for part, defaults, word in (("requests", requests, "request"), ("limits", most, "limit")):
                added = _complete(container, part, defaults)
                if added:
                    told.append(f"{', '.join(added)} {word} for {called} {container['name']}")
    if told:
        annotations = meta.ensure_meta(pod).setdefault("annotations", {})
        annotations[_ANNOTATION] = f"LimitRanger plugin set: {'; '.join(told)}"


def _complete(container: Tree, part: str, defaults: Mapping[str, str]) -> list[str]:
    """The names of the resources that were not spoken of."""
    given = (container.get("resources") or {}).get(part) or {}
    added = sorted(set(defaults) - set(given))
    if added:
        resources = dict(container.get("resources") or {})
        container["resources"] = {**resources, part: {**given, **{name: defaults[name] for name in added}}}
    return added


def _pod_violations(pod: Tree, limits: Iterable[Tree]) -> Iterator[str]:
    spec = pod.get("spec") or {}
    for limit in limits:
        if limit.get("type") == "Container":
            for field in ("containers", "initContainers"):
                for container in spec.get(field) or ():
                    resources = container.get("resources") or {}
                    yield from _violations(limit, _read(resources, "requests"), _read(resources, "limits"))
        elif limit.get("type") == "Pod":
            yield from _violations(limit, _whole(spec, "requests"), _whole(spec, "limits"))


def _whole(spec: Tree, part: str) -> Amounts:
    """What a pod asks for in all; what it says of itself goes before what its containers add up to."""
    total = aggregate(spec, part)
    own = _read(spec.get("resources") or {}, part)
    return {**total, **{name: amount for name, amount in own.items() if name in _POD_LEVEL}}


def _claim_violations(claim: Tree, limits: Iterable[Tree]) -> Iterator[str]:
    requests = _read((claim.get("spec") or {}).get("resources") or {}, "requests")
    for limit in limits:
        if limit.get("type") == "PersistentVolumeClaim":
            yield from _checked(limit, "min", _below_minimum, requests, {})
            yield from _checked(limit, "max", _above_maximum_request, requests, {})


def _violations(limit: Tree, requests: Amounts, limits: Amounts) -> Iterator[str]:
    yield from _checked(limit, "min", _below_minimum, requests, limits)
    yield from _checked(limit, "max", _above_maximum, requests, limits)
    yield from _checked(limit, "maxLimitRequestRatio", _above_ratio, requests, limits)


def _checked(limit: Tree, field: str, check: _Constraint, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, text in sorted((limit.get(field) or {}).items()):
        if wrong := check(limit["type"], name, Quantity.parse(text), requests, limits):
            yield wrong


def _read(resources: Tree, part: str) -> Amounts:
    return {name: Quantity.parse(text) for name, text in (resources.get(part) or {}).items()}


def _compared(*amounts: Quantity | None) -> list[int]:
    """Amounts at one precision: thousandths, unless one is too large for that."""
    given = [amount or Quantity(0) for amount in amounts]
    fine = all(amount.value <= _MOST_MILLI for amount in given)
    return [amount.milli if fine else amount.value for amount in given]


def _below_minimum(kind: str, name: str, least: Quantity, requests: Amounts, limits: Amounts) -> str:
    request, limit = requests.get(name), limits.get(name)
    requested, limited, bound = _compared(request, limit, least)
    said = f"minimum {name} usage per {kind} is {least}"
    if request is None:
        return f"{said}.  No request is specified"
    if requested < bound:
        return f"{said}, but request is {request}"
    return f"{said}, but limit is {limit}" if limit is not None and limited < bound else ""


def _above_maximum(kind: str, name: str, most: Quantity, requests: Amounts, limits: Amounts) -> str:
    request, limit = requests.get(name), limits.get(name)
    requested, limited, bound = _compared(request, limit, most)
    said = f"maximum {name} usage per {kind} is {most}"
    if limit is None:
        return f"{said}.  No limit is specified"
    if limited > bound:
        return f"{said}, but limit is {limit}"
    return f"{said}, but request is {request}" if request is not None and requested > bound else ""


def _above_maximum_request(kind: str, name: str, most: Quantity, requests: Amounts, limits: Amounts) -> str:
    request = requests.get(name)
    requested, bound = _compared(request, most)
    said = f"maximum {name} usage per {kind} is {most}"
    if request is None:
        return f"{said}.  No request is specified"
    return f"{said}, but request is {request}" if requested > bound else ""


def _above_ratio(kind: str, name: str, most: Quantity, requests: Amounts, limits: Amounts) -> str:
    requested, limited, _ = _compared(requests.get(name), limits.get(name), most)
    said = f"{name} max limit to request ratio per {kind} is {most}"
    if not requested:
        return f"{said}, but no request is specified or request is 0"
    if not limited:
        return f"{said}, but no limit is specified or limit is 0"
    ratio = limited / requested
    bound = most.milli / 1000 if most.value <= _MOST_MILLI else most.value
    return f"{said}, but provided ratio is {ratio:f}" if ratio > bound else ""
