"""Whether this node takes a pod that was given to it.

The scheduler has looked before, but others bind pods as well, and nodes change.
Source: k8s.io/kubernetes/pkg/kubelet/lifecycle/predicate.go and pkg/scheduler (AdmissionCheck).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hyperkube_kubelet.containers.profiles import apparmor_refusal
from hyperkube_kubelet.containers.sysctls import Allowlist
from hyperkube_kubelet.podresources import Amounts, add_amounts, pod_requests
from hyperkube_kubelet.podspec import Tree, containers, init_containers, is_sidecar, is_static
from hyperkube_machinery import meta
from hyperkube_machinery.quantity import Quantity

__all__ = ["Permits", "Rejection", "admit", "rejections", "tolerates"]

Host = tuple[str, int, str]
"""Protocol, port and address."""

OS_LABEL = "kubernetes.io/os"
_NATIVE = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a pod can't run here: for its status and an event."""

    reason: str
    message: str
    short: tuple[str, int] | None = None  # the resource that is short, and by how much


@dataclass(frozen=True, slots=True)
class Permits:
    """What the node lets pods ask for, whatever else it has."""

    sysctls: Allowlist
    apparmor: str = ""  # why no profile can be enforced here; "": they can

    def refusal(self, pod: Tree, *, strict_groups: bool = True) -> Rejection | None:
        """`strict_groups`: whether the runtime can leave out the groups that an image has for its user."""
        if why := self.sysctls.refusal(pod):
            return Rejection("SysctlForbidden", why)
        policy = (pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy")
        if policy == "Strict" and not strict_groups:
            message = "SupplementalGroupsPolicy=Strict is not supported in this node"
            return Rejection("SupplementalGroupsPolicyNotSupported", message)
        if why := apparmor_refusal(pod, self.apparmor):
            return Rejection("AppArmor", f"Cannot enforce AppArmor: {why}")
        return None


def admit(pod: Tree, node: Tree, others: Sequence[Tree]) -> Rejection | None:
    """None where the node takes the pod. `node`: with labels, taints and allocatable; `others`: pods that it runs."""
    return next(rejections(pod, node, others), None)


def rejections(pod: Tree, node: Tree, others: Sequence[Tree]) -> Iterator[Rejection]:
    """All that speaks against the pod, the most telling first."""
    labels = meta.labels_of(node)
    system = labels.get(OS_LABEL, "linux")
    if meta.labels_of(pod).get(OS_LABEL, system) != system:
        message = f"Failed to admit pod as the `{OS_LABEL}` label doesn't match node label"
        yield Rejection("PodOSSelectorNodeLabelDoesNotMatch", message)
    if ((pod["spec"].get("os") or {}).get("name") or system) != system:
        yield Rejection("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    yield from _resources(pod, node, others)
    spec = pod["spec"]
    if not _selected(spec, node):
        yield _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    if spec.get("nodeName") and spec["nodeName"] != meta.name(node):
        yield _predicate("NodeName", "node(s) didn't match the requested node name")
    used = [host for other in others for host in _host_ports(other)]
    if any(_collides(host, taken) for host in _host_ports(pod) for taken in used):
        yield _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    taints = (node.get("spec") or {}).get("taints") or ()
    tolerations = spec.get("tolerations") or ()
    executing = [taint for taint in taints if taint.get("effect") == "NoExecute"]
    if not is_static(pod) and not all(any(tolerates(one, taint) for one in tolerations) for taint in executing):
        yield _predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")


def _predicate(name: str, why: str) -> Rejection:
    return Rejection(name, f"Predicate {name} failed: {why}")


def _resources(pod: Tree, node: Tree, others: Sequence[Tree]) -> Iterator[Rejection]:
    allocatable: Mapping[str, str] = (node.get("status") or {}).get("allocatable") or {}
    most = Quantity.parse(str(allocatable.get("pods", "0"))).value
    if len(others) + 1 > most:
        yield _insufficient("pods", 1, len(others), most)
    wanted = pod_requests(pod)
    used: Amounts = {}
    for other in others:
        add_amounts(used, pod_requests(other))
    for resource, amount in sorted(wanted.items(), key=lambda item: (item[0] not in _NATIVE, item[0])):
        if not amount or (resource not in _NATIVE and resource not in allocatable):
            continue  # an extended resource that the node doesn't know is a cluster's
        there = Quantity.parse(str(allocatable.get(resource, "0")))
        taken = used.get(resource, Quantity(0))
        if amount + taken > there:
            yield _insufficient(resource, *(_counted(resource, value) for value in (amount, taken, there)))


def _counted(resource: str, amount: Quantity) -> int:
    return amount.milli if resource == "cpu" else amount.value


def _insufficient(resource: str, requested: int, used: int, capacity: int) -> Rejection:
    numbers = f"requested: {requested}, used: {used}, capacity: {capacity}"
    message = f"Node didn't have enough resource: {resource}, {numbers}"
    return Rejection(f"OutOf{resource}", message, (resource, requested - (capacity - used)))


def _selected(spec: Tree, node: Tree) -> bool:
    """Whether the node is one of those that the pod selects."""
    labels = meta.labels_of(node)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    fields = {"metadata.name": meta.name(node)}
    return any(_term(term, labels, fields) for term in required.get("nodeSelectorTerms") or ())


def _term(term: Tree, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    expressions, of_fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not of_fields:
        return False  # an empty term selects nothing
    return all(_holds(one, labels) for one in expressions) and all(_holds(one, fields) for one in of_fields)


def _holds(expression: Tree, values: Mapping[str, str]) -> bool:
    key, wanted = expression["key"], expression.get("values") or ()
    value = values.get(key)
    match expression["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                number, limit = int(value or ""), int(next(iter(wanted), ""))
            except ValueError:
                return False
            return number > limit if operator == "Gt" else number < limit
    return False


def _host_ports(pod: Tree) -> Iterator[Host]:
    holders: Iterable[Tree] = [*(one for one in init_containers(pod) if is_sidecar(one)), *containers(pod)]
    for container in holders:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("protocol") or "TCP", port["hostPort"], port.get("hostIP") or "0.0.0.0"


def _collides(one: Host, other: Host) -> bool:
    same_address = one[2] == other[2] or "0.0.0.0" in (one[2], other[2])
    return one[:2] == other[:2] and same_address


def tolerates(toleration: Tree, taint: Tree) -> bool:
    """Whether a pod with the toleration bears the taint. Source: k8s.io/api/core/v1/toleration.go."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
