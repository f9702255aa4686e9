"""The environment of a container.

Source: k8s.io/kubernetes/pkg/kubelet (makeEnvironmentVariables) and pkg/kubelet/envvars.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hyperkube_kubelet.containers.envfiles import InvalidFile, value_in
from hyperkube_kubelet.containers.expansion import expand
from hyperkube_kubelet.containers.fieldpaths import Addresses, field_value, resource_value
from hyperkube_kubelet.podspec import Tree
from hyperkube_machinery import meta

__all__ = [
    "Holdings",
    "References",
    "UnmetReference",
    "environment",
    "file_references",
    "references",
    "service_variables",
]


class UnmetReference(ValueError):
    """A variable can't be made; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class References:
    """Names of the config maps and secrets that an environment is made of; the optional ones may be missing."""

    config_maps: Mapping[str, bool] = field(default_factory=dict)  # by name: whether each use of it is optional
    secrets: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What those hold, by name; an optional one that is not there is not in it."""

    config_maps: Mapping[str, Tree] = field(default_factory=dict)
    secrets: Mapping[str, Tree] = field(default_factory=dict)
    files: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    """By volume and path; None for a file that can't be read, nothing for a volume that the pod lacks."""


def file_references(container: Tree) -> set[tuple[str, str]]:
    """Volumes and paths in them that must be read before the environment of `container` can be made."""
    refs = (source.get("fileKeyRef") for source in _sources(container))
    return {(ref["volumeName"], ref["path"]) for ref in refs if ref}


def references(container: Tree) -> References:
    """What must be read before the environment of `container` can be made."""
    config_maps: dict[str, bool] = {}
    secrets: dict[str, bool] = {}
    for source in _sources(container):
        for kind, found in (("configMap", config_maps), ("secret", secrets)):
            ref = source.get(f"{kind}Ref") or source.get(f"{kind}KeyRef")
            if ref:
                name = ref.get("name") or ""
                found[name] = found.get(name, True) and bool(ref.get("optional"))
    return References(config_maps, secrets)


def _sources(container: Tree) -> Iterator[Tree]:
    yield from container.get("envFrom") or ()
    for variable in container.get("env") or ():
        if not variable.get("value") and variable.get("valueFrom"):
            yield variable["valueFrom"]


def environment(
    pod: Tree, container: Tree, services: Iterable[Tree], holdings: Holdings, addresses: Addresses
) -> dict[str, str]:
    """The variables of `container`, those of services last. Raises UnmetReference and DownwardError."""
    links = pod["spec"].get("enableServiceLinks", True)
    of_services = service_variables(services, meta.namespace(pod), links=links)
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        found.update(_all_of(source, holdings))
    for variable in container.get("env") or ():
        value = variable.get("value") or ""
        if value:
            value = expand(value, found, of_services)
        elif source := variable.get("valueFrom"):
            taken = _one_of(source, pod, container, holdings, addresses)
            if taken is None:
                continue
            value = taken
        found[variable["name"]] = value
    return {**found, **{name: value for name, value in of_services.items() if name not in found}}


def _all_of(source: Tree, holdings: Holdings) -> Iterator[tuple[str, str]]:
    prefix = source.get("prefix") or ""
    if ref := source.get("configMapRef"):
        data = (holdings.config_maps.get(ref.get("name") or "") or {}).get("data") or {}
        yield from ((prefix + key, value) for key, value in data.items())
    elif ref := source.get("secretRef"):
        data = (holdings.secrets.get(ref.get("name") or "") or {}).get("data") or {}
        yield from ((prefix + key, _decoded(value)) for key, value in data.items())


def _one_of(source: Tree, pod: Tree, container: Tree, holdings: Holdings, addresses: Addresses) -> str | None:
    """The value that `valueFrom` names; None for an optional one that is missing."""
    if ref := source.get("fieldRef"):
        return field_value(ref["fieldPath"], pod, addresses)
    if ref := source.get("resourceFieldRef"):
        return resource_value(ref, pod, container, addresses)
    if ref := source.get("configMapKeyRef"):
        held = holdings.config_maps.get(ref.get("name") or "")
        value = ((held or {}).get("data") or {}).get(ref["key"])
        return value if value is not None else _missing(ref, "ConfigMap", pod)
    if ref := source.get("secretKeyRef"):
        held = holdings.secrets.get(ref.get("name") or "")
        encoded = ((held or {}).get("data") or {}).get(ref["key"])
        return _decoded(encoded) if encoded is not None else _missing(ref, "Secret", pod)
    if ref := source.get("fileKeyRef"):
        return _from_file(ref, holdings)
    raise UnmetReference("a variable has a source that this kubelet does not know")


def _from_file(ref: Tree, holdings: Holdings) -> str | None:
    place = (ref["volumeName"], ref["path"])
    if place not in holdings.files:
        raise UnmetReference(f'cannot find the volume "{place[0]}" referenced by FileKeyRef')
    text = holdings.files[place]
    try:
        value = value_in(text, ref["key"]) if text is not None else None
    except InvalidFile:
        value = None
    if value is None:
        raise UnmetReference("couldn't parse env file")
    if not value and not ref.get("optional"):
        raise UnmetReference(f'environment variable key "{ref["key"]}" not found in file "{place[1]}"')
    return value or None


def _missing(ref: Tree, kind: str, pod: Tree) -> str | None:
    """None for an optional key; the others can't do without."""
    if not ref.get("optional"):
        where = f"{meta.namespace(pod)}/{ref.get('name') or ''}"
        raise UnmetReference(f"couldn't find key {ref['key']} in {kind} {where}")
    return None


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode("utf-8", "surrogateescape")


def service_variables(services: Iterable[Tree], namespace: str, *, links: bool) -> dict[str, str]:
    """What tells a container of services: always of the API server's, and with `links` of those in its namespace."""
    by_name: dict[str, Tree] = {}
    for service in services:
        if (service["spec"].get("clusterIP") or "None") == "None":
            continue
        name, where = meta.name(service), meta.namespace(service)
        if (where, name) == ("default", "kubernetes"):
            by_name.setdefault(name, service)
        elif where == namespace and links:
            by_name[name] = service
    found: dict[str, str] = {}
    for _, service in sorted(by_name.items()):
        found.update(_service(service))
    return found


def _service(service: Tree) -> Iterator[tuple[str, str]]:
    address, ports = service["spec"]["clusterIP"], service["spec"].get("ports") or ()
    if not ports:
        return
    prefix = _variable(meta.name(service))
    yield f"{prefix}_SERVICE_HOST", address
    yield f"{prefix}_SERVICE_PORT", str(ports[0]["port"])
    for port in ports:
        if port.get("name"):
            yield f"{prefix}_SERVICE_PORT_{_variable(port['name'])}", str(port["port"])
    for index, port in enumerate(ports):
        protocol = (port.get("protocol") or "TCP").lower()
        shown = f"[{address}]" if ":" in address else address
        url = f"{protocol}://{shown}:{port['port']}"
        if index == 0:
            yield f"{prefix}_PORT", url
        stem = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
        yield stem, url
        yield f"{stem}_PROTO", protocol
        yield f"{stem}_PORT", str(port["port"])
        yield f"{stem}_ADDR", address


def _variable(name: str) -> str:
    return name.replace("-", "_").upper()
