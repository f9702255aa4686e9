"""Network policies. Source: k8s.io/kubernetes/pkg/registry/networking/networkpolicy, pkg/apis/networking/validation."""

from __future__ import annotations

from collections.abc import Iterator

from hyperkube_apiserver.registry.addresses import Network, network_warnings, parse_network, validate_network
from hyperkube_apiserver.registry.fields import checked, port_number, validate_label_selector
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import port_name

__all__ = ["NetworkPolicies"]

_DIRECTIONS = {"ingress": "from", "egress": "to"}
_TYPES = ("Ingress", "Egress")
_PROTOCOLS = ("TCP", "UDP", "SCTP")


class NetworkPolicies(Strategy):
    counts_generation = True

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("podSelector") is None:
            spec["podSelector"] = {}
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
        for direction in _DIRECTIONS:
            for rule in spec.get(direction) or ():
                for port in rule.get("ports") or ():
                    if port.get("protocol") is None:
                        fill(port, protocol="TCP")

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj["spec"]
        errors = validate_label_selector(spec["podSelector"], "spec.podSelector")
        for path, rule, peers in _rules(spec):
            for index, port in enumerate(rule.get("ports") or ()):
                errors += _validate_port(port, f"{path}.ports[{index}]")
            for index, peer in enumerate(rule.get(peers) or ()):
                errors += _validate_peer(peer, f"{path}.{peers}[{index}]")
        types = spec["policyTypes"]
        if len(types) > len(_TYPES):
            text = "may not specify more than two policyTypes"
            return [*errors, FieldError.invalid("spec.policyTypes", types, text)]
        return errors + [
            FieldError.not_supported(f"spec.policyTypes[{index}]", kind, _TYPES)
            for index, kind in enumerate(types)
            if kind not in _TYPES
        ]

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        texts: list[str] = []
        for path, rule, peers in _rules(obj["spec"]):
            for index, peer in enumerate(rule.get(peers) or ()):
                block, at = peer.get("ipBlock") or {}, f"{path}.{peers}[{index}].ipBlock"
                texts += network_warnings(block.get("cidr") or "", f"{at}.cidr")
                for position, network in enumerate(block.get("except") or ()):
                    texts += network_warnings(network, f"{at}.except[{position}]")
        return texts


def _rules(spec: Tree) -> Iterator[tuple[str, Tree, str]]:
    """Every rule with its path and the field that holds its peers."""
    for direction, peers in _DIRECTIONS.items():
        for index, rule in enumerate(spec.get(direction) or ()):
            yield f"spec.{direction}[{index}]", rule, peers


def _validate_port(port: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    protocol, number, last = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        errors.append(FieldError.not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
    if isinstance(number, int):
        errors += port_number(number, f"{path}.port")
        if last is not None:
            if last < number:
                text = "must be greater than or equal to `port`"
                errors.append(FieldError.invalid(f"{path}.endPort", number, text))
            errors += port_number(last, f"{path}.endPort")
        return errors
    if last is not None:
        why = "not specified" if number is None else "non-numeric"
        text = f"may not be specified when `port` is {why}"
        errors.append(FieldError.invalid(f"{path}.endPort", last, text))
    return errors if number is None else errors + checked(port_name, number, f"{path}.port")


def _validate_peer(peer: Tree, path: str) -> list[FieldError]:
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    errors: list[FieldError] = []
    for field in given:
        if field == "ipBlock":
            errors += _validate_block(peer[field], f"{path}.{field}")
        else:
            errors += validate_label_selector(peer[field], f"{path}.{field}")
    if not given:
        errors.append(FieldError.required(path, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        errors.append(FieldError.forbidden(path, "may not specify both ipBlock and another peer"))
    return errors


def _validate_block(block: Tree, path: str) -> list[FieldError]:
    whole = block.get("cidr") or ""
    if not whole:
        return [FieldError.required(f"{path}.cidr")]
    errors = validate_network(whole, f"{path}.cidr")
    network = parse_network(whole)
    if network is None:
        return errors
    for index, text in enumerate(block.get("except") or ()):
        at = f"{path}.except[{index}]"
        errors += validate_network(text, at)
        part = parse_network(text)
        if part is not None and not _strictly_within(part, network):
            errors.append(FieldError.invalid(at, text, "must be a strict subset of `cidr`"))
    return errors


def _strictly_within(part: Network, whole: Network) -> bool:
    if part.version != whole.version or part.prefixlen <= whole.prefixlen:
        return False
    return part.supernet(new_prefix=whole.prefixlen) == whole
