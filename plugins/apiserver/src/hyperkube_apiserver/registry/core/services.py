"""Services: what they default to and what they have to themselves.

Source: k8s.io/kubernetes/pkg/registry/core/service.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.allocation import Full, Network, PortPool, Refused
from hyperkube_apiserver.registry.core.clusteraddresses import ClusterAddresses
from hyperkube_apiserver.registry.core.clusterips import fill_families, match_cluster_ips
from hyperkube_apiserver.registry.core.serviceholding import AddressRecords, ServiceHolding, cluster_ips
from hyperkube_apiserver.registry.core.servicerules import (
    is_external,
    needs_health_port,
    validate_balancer_status,
    validate_changes,
    validate_service,
)
from hyperkube_apiserver.registry.core.servicewarnings import balancer_warnings, service_warnings
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.strategy import (
    NO_RESERVATION,
    Policy,
    Reservation,
    Strategy,
    Tree,
    WriteContext,
    keep,
)
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, FieldError

__all__ = ["Services"]

_AFFINITY_SECONDS = 10800


class Services(Strategy):
    """Cluster IPs and node ports are reserved before a service is checked, as upstream does."""

    allows_create_on_update = True
    answers_deleted_object = True

    def __init__(self, kind: Kind, policy: Policy, networks: Sequence[Network], node_ports: range) -> None:
        """`networks`: one of each family at most, the default one first."""
        super().__init__(kind, policy)
        self.addresses = ClusterAddresses(networks)
        self.records: AddressRecords | None = None  # without them, addresses are taken for the length of a write
        self._ports = PortPool(node_ports)

    def name_rule(self, name: str, prefix: bool) -> list[str]:
        return object_meta.dns_label(name, prefix)

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, sessionAffinity="None", type="ClusterIP")
        if spec["sessionAffinity"] == "None":
            spec.pop("sessionAffinityConfig", None)
        elif spec["sessionAffinity"] == "ClientIP":
            client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
            if client.get("timeoutSeconds") is None:
                spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _AFFINITY_SECONDS}}
        for port in spec.get("ports") or ():
            fill(port, protocol="TCP")
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port") or 0
        if is_external(spec):
            fill(spec, externalTrafficPolicy="Cluster")
        if spec["type"] in ("NodePort", "LoadBalancer", "ClusterIP"):
            fill(spec, internalTrafficPolicy="Cluster")
        status = obj.setdefault("status", {}).setdefault("loadBalancer", {})
        if spec["type"] == "LoadBalancer":
            fill(spec, allocateLoadBalancerNodePorts=True)
            for entry in status.get("ingress") or ():
                if entry.get("ip"):
                    fill(entry, ipMode="VIP")

    def initial_status(self, obj: Tree) -> Tree:
        return {"loadBalancer": {}}

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        super().prepare_for_update(obj, old, context)
        if not context.subresource:
            _drop_by_type(obj, old["spec"])

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return validate_service(obj, None)

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return validate_changes(obj["spec"], old["spec"]) + validate_service(obj, old)

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return validate_balancer_status(obj, old)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        return service_warnings(obj)

    def status_warnings(self, obj: Tree) -> list[str]:
        return balancer_warnings(obj)

    # Reserving

    def begin_create(self, obj: Tree, context: WriteContext) -> Reservation:
        holding = self._holding(obj, context)
        match_cluster_ips(obj["spec"], None)
        self._reserve(obj, None, holding)
        return holding

    def begin_update(self, obj: Tree, old: Tree, context: WriteContext) -> Reservation:
        if context.subresource:
            return NO_RESERVATION
        holding = self._holding(obj, context)
        _carry_over(obj["spec"], old["spec"])
        match_cluster_ips(obj["spec"], old["spec"])
        self._reserve(obj, old["spec"], holding)
        return holding

    def _holding(self, obj: Tree, context: WriteContext) -> ServiceHolding:
        return ServiceHolding(self.kind, self.addresses, self.records, obj, context)

    def loaded(self, obj: Tree) -> None:
        """A stored service was read at start: whatever ports it holds are taken."""
        for port in self._held(obj["spec"]):
            self._ports.take(port)

    def removed(self, obj: Tree) -> None:
        """The service is gone from the store: whatever ports it held are free."""
        for port in self._held(obj["spec"]):
            self._ports.give_back(port)

    def _held(self, spec: Tree) -> Iterable[int]:
        return (port for port in _node_ports(spec) if port in self._ports)

    def _reserve(self, obj: Tree, old: Tree | None, holding: ServiceHolding) -> None:
        """Take what `obj` needs beyond what `old` has; on any refusal nothing is kept."""
        try:
            self._refuse(obj, fill_families(obj["spec"], old, self.addresses.families))
            self._reserve_addresses(obj, old, holding)
            self._reserve_ports(obj, old, holding)
        except BaseException:
            holding.release()
            raise

    def _refuse(self, obj: Tree, errors: list[FieldError]) -> None:
        if errors:
            resource = self.kind.resource
            raise APIError.invalid(resource.group, resource.kind, meta.name(obj), errors)

    def _reserve_addresses(self, obj: Tree, old: Tree | None, holding: ServiceHolding) -> None:
        spec = obj["spec"]
        before = cluster_ips(old) if old is not None else []
        if spec["type"] == "ExternalName":
            holding.leave_addresses(before)
            return
        if spec.get("clusterIPs") == ["None"]:
            return
        if before and old is not None and old["type"] != "ExternalName":
            # What is there stays; a second family may come or go.
            holding.leave_addresses(before[len(spec["ipFamilies"]) :])
            wanted = list(range(len(before), len(spec["ipFamilies"])))
        else:
            wanted = list(range(len(spec["ipFamilies"])))
        if old is not None and old.get("clusterIPs") == ["None"] and old["type"] != "ExternalName":
            return  # headless once, headless for ever: the rules refuse the change
        addresses = list(spec.get("clusterIPs") or ())
        addresses += [""] * (len(spec["ipFamilies"]) - len(addresses))
        spec["clusterIPs"] = addresses
        for index in wanted:
            asked = bool(addresses[index])
            addresses[index] = holding.take_address(spec["ipFamilies"][index], addresses[index])
            holding.new.append((index, asked))
        spec["clusterIP"] = addresses[0]

    def _reserve_ports(self, obj: Tree, old: Tree | None, holding: ServiceHolding) -> None:
        spec = obj["spec"]
        had = set(_node_ports(old, health=False)) if old is not None else set()
        if spec["type"] in ("NodePort", "LoadBalancer"):
            if old is None:
                self._give_ports(obj, holding)
            else:
                self._update_ports(obj, had, holding)
        needs, needed = needs_health_port(spec), old is not None and needs_health_port(old)
        if needs and not needed:
            spec["healthCheckNodePort"] = self._take_health_port(spec.get("healthCheckNodePort") or 0, holding)
        elif needed and not needs and old is not None and old.get("healthCheckNodePort"):
            holding.leave(self._ports, [old["healthCheckNodePort"]])
        holding.leave(self._ports, had - set(_node_ports(spec, health=False)))

    def _give_ports(self, obj: Tree, holding: ServiceHolding) -> None:
        """Ports of one number share a node port, whatever their protocols."""
        ports = obj["spec"].get("ports") or ()
        given: dict[int, int] = {}
        for index, port in enumerate(ports):
            number, wanted = port.get("port") or 0, port.get("nodePort") or 0
            if not wanted and not _allocates_node_ports(obj["spec"]):
                continue
            if number not in given:
                asked = next((one["nodePort"] for one in ports if one.get("port") == number and one.get("nodePort")), 0)
                given[number] = port["nodePort"] = self._take_port(obj, asked, index, holding)
            elif not wanted:
                port["nodePort"] = given[number]
            elif wanted != given[number]:
                self._take_port(obj, wanted, index, holding)

    def _update_ports(self, obj: Tree, had: set[int], holding: ServiceHolding) -> None:
        taken: set[int] = set()
        seen: set[tuple[str, int]] = set()
        for index, port in enumerate(obj["spec"].get("ports") or ()):
            wanted = port.get("nodePort") or 0
            if not wanted and not _allocates_node_ports(obj["spec"]):
                continue
            if wanted not in had and (not wanted or wanted not in taken):
                port["nodePort"] = wanted = self._take_port(obj, wanted, index, holding)
                taken.add(wanted)
            key = (port.get("protocol") or "", wanted)
            if key in seen:
                raise APIError.of(500, "", f"duplicate nodePort: {{{key[0]} {key[1]}}}")
            seen.add(key)

    def _take_port(self, obj: Tree, wanted: int, index: int, holding: ServiceHolding) -> int:
        if not wanted:
            try:
                wanted = self._ports.take_any()
            except Full as exc:
                raise APIError.internal(f"failed to allocate a nodePort: {exc}") from None
        else:
            try:
                self._ports.take_port(wanted)
            except Refused as exc:
                self._refuse(obj, [FieldError.invalid(f"spec.ports[{index}].nodePort", wanted, str(exc))])
        holding.took(self._ports, wanted)
        return wanted

    def _take_health_port(self, wanted: int, holding: ServiceHolding) -> int:
        try:
            if wanted:
                self._ports.take_port(wanted)
            else:
                wanted = self._ports.take_any()
        except Refused as exc:
            raise APIError.internal(f"failed to allocate requested HealthCheck NodePort {wanted}: {exc}") from None
        except Full as exc:
            raise APIError.internal(f"failed to allocate a HealthCheck NodePort 0: {exc}") from None
        holding.took(self._ports, wanted)
        return wanted


def _node_ports(spec: Tree, *, health: bool = True) -> list[int]:
    ports = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    if health and needs_health_port(spec) and spec.get("healthCheckNodePort"):
        ports.append(spec["healthCheckNodePort"])
    return ports


def _allocates_node_ports(spec: Tree) -> bool:
    return spec["type"] == "NodePort" or bool(spec.get("allocateLoadBalancerNodePorts"))


def _carry_over(spec: Tree, old: Tree) -> None:
    """Keep what was given to the service and the client left out."""
    if "ExternalName" not in (spec["type"], old["type"]):
        for field in ("clusterIP", "clusterIPs"):
            if not spec.get(field) and old.get(field):
                spec[field] = old[field]
    external = ("NodePort", "LoadBalancer")
    if spec["type"] in external and old["type"] in external:
        used = set(_node_ports(old, health=False)) & set(_node_ports(spec, health=False))
        known = {port.get("name") or "": port.get("nodePort") or 0 for port in old.get("ports") or ()}
        for port in spec.get("ports") or ():
            earlier = known.get(port.get("name") or "", 0)
            if not port.get("nodePort") and earlier and earlier not in used:
                port["nodePort"] = earlier
    if needs_health_port(spec) and needs_health_port(old) and not spec.get("healthCheckNodePort"):
        keep(spec, old, "healthCheckNodePort")


def _drop_by_type(obj: Tree, old: Tree) -> None:
    """What a service of the new type can't have goes, unless the client changed it: then the rules will tell."""
    spec, external = obj["spec"], ("NodePort", "LoadBalancer")

    def drop(*fields: str) -> None:
        for field in fields:
            if spec.get(field) == old.get(field):
                spec.pop(field, None)

    if old["type"] != "ExternalName" and spec["type"] == "ExternalName":
        if all(spec.get(field) == old.get(field) for field in ("clusterIP", "clusterIPs")):
            drop("clusterIP", "clusterIPs")
        drop("ipFamilies", "ipFamilyPolicy")
    if old["type"] in external and spec["type"] not in external:
        mine, theirs = ([port.get("nodePort") or 0 for port in one.get("ports") or ()] for one in (spec, old))
        if mine == theirs:
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)
    if needs_health_port(old) and not needs_health_port(spec):
        drop("healthCheckNodePort")
    if old["type"] == "LoadBalancer" and spec["type"] != "LoadBalancer":
        drop("allocateLoadBalancerNodePorts", "loadBalancerClass")
    if is_external(old) and not is_external(spec):
        drop("externalTrafficPolicy")
    if spec["type"] != "LoadBalancer":
        obj["status"] = {**(obj.get("status") or {}), "loadBalancer": {}}
