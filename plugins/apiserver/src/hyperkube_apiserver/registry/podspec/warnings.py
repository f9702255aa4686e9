"""What the API server warns of in pod specs that it takes all the same.

Source: k8s.io/kubernetes/pkg/api/pod/warnings.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_apiserver.registry.addresses import address_warnings
from hyperkube_apiserver.registry.nodelabels import OLD_NODE_LABELS, node_term_warnings
from hyperkube_apiserver.registry.podspec.apparmor import APP_ARMOR_PREFIX, profile_of
from hyperkube_apiserver.registry.podspec.claims import claim_warnings
from hyperkube_apiserver.registry.podspec.overlaps import overlap_warnings
from hyperkube_machinery.quantity import Quantity

__all__ = ["spec_warnings"]

Tree = Mapping[str, Any]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_OLD_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SHOWN_AS = {"storageos": "storageOS"}
_OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_SECCOMP, _CONTAINER_SECCOMP = (
    "seccomp.security.alpha.kubernetes.io/pod",
    "container.seccomp.security.alpha.kubernetes.io/",
)


def spec_warnings(pod: Tree, path: str = "") -> list[str]:
    """Warnings about a pod, or about a template (`path` is where it stands)."""
    spec, at = pod.get("spec") or {}, f"{path}.spec" if path else "spec"
    return [
        *_placement(spec, at),
        *_annotations(pod, f"{path}.metadata" if path else "metadata"),
        *_volumes(spec, at),
        *overlap_warnings(spec.get("volumes") or ()),
        *_repeated(spec, at),
        *_fractions({f"{at}.overhead": spec.get("overhead") or {}}),
        *_profiles(pod, spec, path),
        *_containers(spec, at),
        *_ports(spec, at),
        *_negative_grace(spec, at),
        *_affinity(spec.get("affinity") or {}, f"{at}.affinity"),
        *_addresses(spec, at),
    ]


def _placement(spec: Tree, path: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if key in OLD_NODE_LABELS:
            yield f"{path}.nodeSelector[{key}]: {OLD_NODE_LABELS[key]}"
    node, at = (spec.get("affinity") or {}).get("nodeAffinity") or {}, f"{path}.affinity.nodeAffinity"
    for index, term in enumerate((node.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()):
        yield from node_term_warnings(term, f"{at}.{_REQUIRED}.nodeSelectorTerms[{index}]", check_values=False)
    for index, weighted in enumerate(node.get(_PREFERRED) or ()):
        term = weighted.get("preference") or {}
        yield from node_term_warnings(term, f"{at}.{_PREFERRED}[{index}].preference", check_values=True)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey") or ""
        if key in OLD_NODE_LABELS:
            yield f"{at}.topologyKey: {key} is {OLD_NODE_LABELS[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{at}.labelSelector: a null labelSelector results in matching no pod"


def _annotations(pod: Tree, path: str) -> Iterator[str]:
    for key in (pod.get("metadata") or {}).get("annotations") or ():
        if key in _OLD_ANNOTATIONS:
            yield f"{path}.annotations[{key}]: {_OLD_ANNOTATIONS[key]}"


def _volumes(spec: Tree, path: str) -> Iterator[str]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        for name, text in _OLD_VOLUMES.items():
            if volume.get(name) is not None:
                yield f"{path}.volumes[{index}].{_SHOWN_AS.get(name, name)}: {text}"
        if (template := (volume.get("ephemeral") or {}).get("volumeClaimTemplate")) is not None:
            where = f"{path}.volumes[{index}].ephemeral.volumeClaimTemplate.spec"
            yield from claim_warnings(template.get("spec") or {}, where)


def _repeated(spec: Tree, path: str) -> Iterator[str]:
    for field, key, word in (("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")):
        seen: set[str] = set()
        for index, item in enumerate(spec.get(field) or ()):
            value = item.get(key) or ""
            if value in seen:
                yield f'{path}.{field}[{index}].{key}: duplicate {word} "{value}"'
            seen.add(value)
    for index, item in enumerate(spec.get("imagePullSecrets") or ()):
        if not item.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'


def _fractions(lists: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Sizes that no number of bytes is, in resource lists by their paths."""
    for name in ("memory", "ephemeral-storage"):
        for path, amounts in lists.items():
            if name in amounts and Quantity.parse(amounts[name]).milli % 1000:
                yield f'{path}[{name}]: fractional byte value "{amounts[name]}" is invalid, must be an integer'


def _profiles(pod: Tree, spec: Tree, path: str) -> Iterator[str]:
    """Annotations that were fields of security contexts before there were such fields.

    Those of AppArmor are still read in pods (see `podspec.apparmor`), and only told of in templates.
    """
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    if not annotations:
        return
    at = f"{path}.metadata.annotations" if path else "metadata.annotations"
    context = spec.get("securityContext") or {}
    text = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    if context.get("seccompProfile") is None and _SECCOMP in annotations:
        yield f"{at}[{_SECCOMP}]: {text}"
    for container, _ in _each_container(spec, ""):
        name, own = container.get("name") or "", container.get("securityContext") or {}
        if own.get("seccompProfile") is None and (key := f"{_CONTAINER_SECCOMP}{name}") in annotations:
            yield f"{at}[{key}]: {text}"
        key = f"{APP_ARMOR_PREFIX}{name}"
        if not path or own.get("appArmorProfile") is not None or key not in annotations:
            continue
        whole = context.get("appArmorProfile")
        if whole is None or whole != profile_of(annotations[key]):
            yield f'{at}[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'


def _each_container(spec: Tree, path: str) -> Iterator[tuple[Tree, str]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield container, f"{path}.{field}[{index}]"


def _containers(spec: Tree, path: str) -> Iterator[str]:
    for container, at in _each_container(spec, path):
        resources = container.get("resources") or {}
        fields = ("limits", "requests")
        yield from _fractions({f"{at}.resources.{field}": resources.get(field) or {} for field in fields})
        seen: set[str] = set()
        for index, variable in enumerate(container.get("env") or ()):
            name = variable.get("name") or ""
            reference, value = f"$({name})", variable.get("value") or ""
            extends = variable.get("valueFrom") is None and value != reference and reference in value
            if name in seen and not extends:
                told = f'hides previous definition of "{name}", which may be dropped when using apply'
                yield f"{at}.env[{index}]: {told}"
            seen.add(name)


def _ports(spec: Tree, path: str) -> Iterator[str]:
    ports = [
        (port, f"{at}.ports[{index}]")
        for container, at in _each_container(spec, path)
        for index, port in enumerate(container.get("ports") or ())
    ]
    names: dict[str, str] = {}
    for position, (port, at) in enumerate(ports):
        if port.get("hostIP") and not port.get("hostPort"):
            yield f"{at}: hostIP set without hostPort: {_as_go(port)}"
        for other, where in ports[:position]:
            if any((port.get(field) or 0) != (other.get(field) or 0) for field in ("containerPort", "protocol")):
                continue
            address, host = port.get("hostIP") or "", port.get("hostPort") or 0
            others_address, others_host = other.get("hostIP") or "", other.get("hostPort") or 0
            if (address, host) == (others_address, others_host):
                yield f"{at}: duplicate port definition with {where}"
            elif not host or not others_host:
                yield f"{at}: overlapping port definition with {where}"
            elif host == others_host and bool(address) != bool(others_address):
                yield f"{at}: dangerously ambiguous port definition with {where}"
    for port, at in ports:
        name = port.get("name") or ""
        if name and name in names:
            first = names[name]
            uses = f"services and probes that select ports by name will use {first}"
            yield f'{at}: duplicate port name "{name}" with {first}, {uses}'
        names.setdefault(name, at)


def _as_go(port: Tree) -> str:
    """A port as Go prints the struct that upstream shows."""
    shown = {"Name": port.get("name") or "", "HostPort": port.get("hostPort") or 0}
    shown |= {"ContainerPort": port.get("containerPort") or 0, "Protocol": port.get("protocol") or ""}
    shown["HostIP"] = port.get("hostIP") or ""
    return "{" + " ".join(f"{field}:{value}" for field, value in shown.items()) + "}"


def _negative_grace(spec: Tree, path: str) -> Iterator[str]:
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{path}.terminationGracePeriodSeconds: {text}"


def _addresses(spec: Tree, path: str) -> Iterator[str]:
    for index, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield from address_warnings(server, f"{path}.dnsConfig.nameservers[{index}]")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from address_warnings(alias.get("ip") or "", f"{path}.hostAliases[{index}].ip")


def _affinity(affinity: Tree, path: str) -> Iterator[str]:
    text = "a null labelSelector results in matching no pod"
    for name in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(name) or {}
        for index, term in enumerate(part.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{name}.{_REQUIRED}[{index}].labelSelector: {text}"
        for index, weighted in enumerate(part.get(_PREFERRED) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.{name}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {text}"
