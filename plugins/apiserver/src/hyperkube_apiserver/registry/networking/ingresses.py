"""Ingresses and their classes.

Source: k8s.io/kubernetes/pkg/registry/networking/{ingress,ingressclass}, pkg/apis/networking/validation.
"""

from __future__ import annotations

from hyperkube_apiserver.registry.addresses import address_warnings, parse_address, validate_address
from hyperkube_apiserver.registry.fields import checked, dns_label, dns_subdomain, one_of, port_number
from hyperkube_apiserver.registry.meta import immutable
from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import path_segment, port_name, regex_error, wildcard_dns1123_subdomain

__all__ = ["IngressClasses", "Ingresses", "validate_domain_prefixed"]

_CLASS = "kubernetes.io/ingress.class"
_CONTROLLER_BYTES = 250
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_http_path_characters = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-._~%!$&'()*+,;=:",
)


class Ingresses(Strategy):
    revalidates_meta = True
    counts_generation = True

    def default(self, obj: Tree) -> None:
        obj.setdefault("spec", {})
        obj.setdefault("status", {}).setdefault("loadBalancer", {})

    def initial_status(self, obj: Tree) -> Tree:
        return {"loadBalancer": {}}

    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors = _validate_spec(obj["spec"])
        annotation, name = meta.annotations_of(obj).get(_CLASS), obj["spec"].get("ingressClassName")
        if annotation is not None and name is not None and annotation != name:
            text = "must match `ingressClassName` when both are specified"
            errors.append(FieldError.invalid(f"annotations.{_CLASS}", annotation, text))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return _validate_spec(obj["spec"])

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors: list[FieldError] = []
        for index, entry in enumerate(_balanced(obj)):
            path, name = f"status.loadBalancer.ingress[{index}]", entry.get("hostname")
            if entry.get("ip"):
                errors += validate_address(entry["ip"], f"{path}.ip")
            if name:
                errors += dns_subdomain(name, f"{path}.hostname") + _not_an_address(name, f"{path}.hostname")
        return errors

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        if old is None and _CLASS in meta.annotations_of(obj) and obj["spec"].get("ingressClassName") is None:
            return [f"annotation \"{_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"]
        return []

    def status_warnings(self, obj: Tree) -> list[str]:
        return [
            text
            for index, entry in enumerate(_balanced(obj))
            for text in address_warnings(entry.get("ip") or "", f"status.loadBalancer.ingress[{index}]")
        ]


def _balanced(obj: Tree) -> list[Tree]:
    return ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []


def _not_an_address(host: str, path: str) -> list[FieldError]:
    if parse_address(host) is None:
        return []
    return [FieldError.invalid(path, host, "must be a DNS name, not an IP address")]


def _validate_spec(spec: Tree) -> list[FieldError]:
    errors: list[FieldError] = []
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        text = "either `defaultBackend` or `rules` must be specified"
        errors.append(FieldError.invalid("spec", spec.get("rules"), text))
    if spec.get("defaultBackend") is not None:
        errors += _validate_backend(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules") or ()):
        errors += _validate_rule(rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        path = f"spec.tls[{index}]"
        for position, host in enumerate(tls.get("hosts") or ()):
            errors += _validate_host(host, f"{path}.hosts[{position}]")
        if tls.get("secretName"):
            errors += dns_subdomain(tls["secretName"], f"{path}.secretName")
    if spec.get("ingressClassName") is not None:
        errors += dns_subdomain(spec["ingressClassName"], "spec.ingressClassName")
    return errors


def _validate_host(host: str, path: str) -> list[FieldError]:
    return checked(wildcard_dns1123_subdomain, host, path) if "*" in host else dns_subdomain(host, path)


def _validate_rule(rule: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if host := rule.get("host"):
        errors += _not_an_address(host, f"{path}.host") + _validate_host(host, f"{path}.host")
    http = rule.get("http")
    if http is None:
        return errors
    if not http.get("paths"):
        errors.append(FieldError.required(f"{path}.http.paths"))
    for index, entry in enumerate(http.get("paths") or ()):
        errors += _validate_path(entry, f"{path}.http.paths[{index}]")
    return errors


def _validate_path(entry: Tree, path: str) -> list[FieldError]:
    kind, text, at = entry.get("pathType"), entry.get("path") or "", f"{path}.path"
    if kind is None:
        return [FieldError.required(f"{path}.pathType", "pathType must be specified")]
    errors: list[FieldError] = []
    if kind not in _PATH_TYPES:
        errors.append(FieldError.not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        errors.append(FieldError.invalid(at, text, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        errors += [FieldError.invalid(at, text, f"must not contain '{bad}'") for bad in _BAD_SEQUENCES if bad in text]
        errors += [
            FieldError.invalid(at, text, f"cannot end with '{bad}'") for bad in _BAD_SUFFIXES if text.endswith(bad)
        ]
    return errors + _validate_backend(entry.get("backend") or {}, f"{path}.backend")


def _validate_backend(backend: Tree, path: str) -> list[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [FieldError.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _validate_reference(resource, f"{path}.resource")
    if service is None:
        return [FieldError.invalid(path, "", "resource or service backend is required")]
    name, port = service.get("name"), service.get("port") or {}
    errors = dns_label(name, f"{path}.service.name") if name else [FieldError.required(f"{path}.service.name")]
    if port.get("name") and port.get("number"):
        errors.append(FieldError.invalid(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        errors += checked(port_name, port["name"], f"{path}.service.port.name")
    elif port.get("number"):
        errors += port_number(port["number"], f"{path}.service.port.number")
    else:
        errors.append(FieldError.required(path, "port name or number is required"))
    return errors


def _validate_reference(reference: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if reference.get("apiGroup") is not None:
        errors += dns_subdomain(reference["apiGroup"], f"{path}.apiGroup")
    for field in ("kind", "name"):
        value, at = reference.get(field), f"{path}.{field}"
        errors += checked(path_segment, value, at) if value else [FieldError.required(at)]
    return errors


class IngressClasses(Strategy):
    revalidates_meta = True
    counts_generation = True

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        if (parameters := spec.get("parameters")) is not None and parameters.get("scope") is None:
            parameters["scope"] = "Cluster"

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec, path = obj["spec"], "spec.controller"
        controller = spec.get("controller") or ""
        too_long = len(controller.encode()) > _CONTROLLER_BYTES
        errors = [FieldError.too_long(path, _CONTROLLER_BYTES)] if too_long else []
        errors += validate_domain_prefixed(controller, path)
        if spec.get("parameters") is not None:
            errors += _validate_parameters(spec["parameters"], "spec.parameters")
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        new, before = (one["spec"].get("controller") or "" for one in (obj, old))
        return immutable("spec.controller", new, before) + self.validate_object(obj)


def validate_domain_prefixed(text: str, path: str) -> list[FieldError]:
    """A domain and a path in it, as `example.com/one`."""
    if not text:
        return [FieldError.required(path)]
    host, _, rest = text.partition("/")
    if not host or not rest:
        return [FieldError.invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = dns_subdomain(host, path)
    if not _http_path_characters.issuperset(rest):
        errors.append(FieldError.invalid(path, rest, regex_error("Invalid path", _HTTP_PATH)))
    return errors


def _validate_parameters(parameters: Tree, path: str) -> list[FieldError]:
    errors = _validate_reference(parameters, path)
    scope, namespace, at = parameters.get("scope"), parameters.get("namespace"), f"{path}.namespace"
    errors += one_of(scope or "", ("Cluster", "Namespace"), f"{path}.scope")
    if scope == "Namespace":
        text = "`parameters.scope` is set to 'Namespace'"
        missing = [FieldError.required(at, text)]
        errors += missing if namespace is None else dns_label(namespace, at)
    elif scope == "Cluster" and namespace is not None:
        errors.append(FieldError.forbidden(at, "`parameters.scope` is set to 'Cluster'"))
    return errors
