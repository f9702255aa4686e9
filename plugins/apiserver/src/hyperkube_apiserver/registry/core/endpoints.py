"""Endpoints. Source: ValidateEndpoints in k8s.io/kubernetes/pkg/apis/core/validation."""

from __future__ import annotations

from hyperkube_apiserver.registry.addresses import address_warnings, validate_address, validate_endpoint_address
from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain, one_of, port_number, qualified
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["PROTOCOLS", "Endpoints"]

PROTOCOLS = ("SCTP", "TCP", "UDP")


class Endpoints(Strategy):
    allows_create_on_update = True
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                fill(port, protocol="TCP")

    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors: list[FieldError] = []
        loopback = self.policy.loopback_endpoints
        for index, subset in enumerate(obj.get("subsets") or ()):
            path = f"subsets[{index}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                errors.append(FieldError.required(path, "must specify `addresses` or `notReadyAddresses`"))
            for field in ("addresses", "notReadyAddresses"):
                for position, address in enumerate(subset.get(field) or ()):
                    errors += _validate_address(address, f"{path}.{field}[{position}]", loopback=loopback)
            ports = subset.get("ports") or ()
            for position, port in enumerate(ports):
                errors += _validate_port(port, f"{path}.ports[{position}]", named=len(ports) > 1)
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        # What was once stored may stay.
        return [] if obj.get("subsets") == old.get("subsets") else self.validate_object(obj)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        if meta.labels_of(obj).get("endpoints.kubernetes.io/managed-by") == "endpoint-controller":
            return []  # it writes addresses in the form that is asked for, and many of them
        return [
            text
            for index, subset in enumerate(obj.get("subsets") or ())
            for field in ("addresses", "notReadyAddresses")
            for position, address in enumerate(subset.get(field) or ())
            for text in address_warnings(address.get("ip") or "", f"subsets[{index}].{field}[{position}].ip")
        ]


def _validate_address(address: Tree, path: str, *, loopback: bool) -> list[FieldError]:
    ip = address.get("ip") or ""
    errors = validate_address(ip, f"{path}.ip")
    if hostname := address.get("hostname"):
        errors += dns_label(hostname, f"{path}.hostname")
    if address.get("nodeName") is not None:
        errors += dns_subdomain(address["nodeName"], f"{path}.nodeName")
    return errors + validate_endpoint_address(ip, f"{path}.ip", loopback=loopback)


def _validate_port(port: Tree, path: str, *, named: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if name := port.get("name"):
        errors += dns_label(name, f"{path}.name")
    elif named:
        errors.append(FieldError.required(f"{path}.name"))
    errors += port_number(port.get("port") or 0, f"{path}.port")
    errors += one_of(port.get("protocol") or "", PROTOCOLS, f"{path}.protocol", required=True)
    if port.get("appProtocol") is not None:
        errors += qualified(port["appProtocol"], f"{path}.appProtocol")
    return errors
