"""Pod specs and pod templates as a whole.

Source: ValidatePodSpec, ValidatePodTemplateSpec in k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.addresses import validate_address
from hyperkube_apiserver.registry.fields import checked, dns_label, dns_subdomain, invalid_each, qualified
from hyperkube_apiserver.registry.meta import validate_annotations, validate_labels
from hyperkube_apiserver.registry.podspec.annotations import validate_pod_annotations
from hyperkube_apiserver.registry.podspec.containers import (
    Surroundings,
    validate_containers,
    validate_ephemeral_containers,
    validate_init_containers,
)
from hyperkube_apiserver.registry.podspec.resources import validate_pod_resources, validate_resources
from hyperkube_apiserver.registry.podspec.scheduling import (
    validate_affinity,
    validate_gates,
    validate_spread,
    validate_tolerations,
)
from hyperkube_apiserver.registry.podspec.security import validate_operating_system, validate_pod_security
from hyperkube_apiserver.registry.podspec.volumes import validate_volumes
from hyperkube_apiserver.registry.podspec.windows import validate_host_processes
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_subdomain_with_underscore, in_range

__all__ = ["RESTART_POLICIES", "validate_pod_spec", "validate_template"]

Tree = Mapping[str, Any]

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_INT32 = 2**31 - 1


def validate_pod_spec(
    spec: Tree, path: str, *, pod_name: str = "", is_pod: bool = False, allow_privileged: bool
) -> list[FieldError]:
    """All that is wrong with a spec; `pod_name` is that of the pod, if it is one that stands for itself."""
    errors: list[FieldError] = []
    grace = spec.get("terminationGracePeriodSeconds")
    volumes, wrong = validate_volumes(spec.get("volumes") or (), pod_name, f"{path}.volumes", is_pod=is_pod)
    errors += wrong
    claims = spec.get("resourceClaims") or ()
    errors += _validate_claims(claims, f"{path}.resourceClaims")
    pod = Surroundings(
        volumes=volumes,
        claims=frozenset(one.get("name") or "" for one in claims),
        grace_seconds=grace,
        os=spec.get("os"),
        restart_policy=spec.get("restartPolicy") or "",
        host_users=spec.get("hostUsers") is not False,
        allow_privileged=allow_privileged,
    )
    containers, inits = spec.get("containers") or (), spec.get("initContainers") or ()
    ephemeral = spec.get("ephemeralContainers") or ()
    errors += validate_containers(containers, pod, f"{path}.containers")
    errors += validate_init_containers(inits, containers, pod, f"{path}.initContainers")
    errors += validate_ephemeral_containers(ephemeral, [*containers, *inits], pod, f"{path}.ephemeralContainers")
    errors += validate_pod_resources(spec, pod.claims, f"{path}.resources")
    errors += _validate_host_network(spec, path, is_pod=is_pod)
    errors += _validate_policies(spec, path)
    errors += validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    errors += validate_pod_security(spec, f"{path}.securityContext")
    errors += validate_affinity(spec.get("affinity"), f"{path}.affinity")
    errors += _validate_dns(spec, f"{path}.dnsConfig")
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        errors += qualified(gate.get("conditionType") or "", f"{path}.readinessGates[{index}].conditionType")
    errors += validate_gates(spec.get("schedulingGates") or (), f"{path}.schedulingGates")
    errors += validate_spread(spec.get("topologySpreadConstraints") or (), f"{path}.topologySpreadConstraints")
    errors += _validate_host_users(spec, path)
    errors += _validate_names(spec, path)
    errors += _validate_deadline(spec, path)
    errors += validate_tolerations(spec.get("tolerations") or (), f"{path}.tolerations")
    errors += _validate_host_aliases(spec.get("hostAliases") or (), f"{path}.hostAliases")
    if spec.get("overhead") is not None:
        errors += validate_resources({"limits": spec["overhead"]}, (), f"{path}.overhead")
    errors += validate_host_processes(spec, path, allow_privileged=allow_privileged)
    errors += validate_operating_system(spec, path)
    return errors + _validate_file_references(spec, path)


def validate_template(template: Tree, path: str, *, allow_privileged: bool) -> list[FieldError]:
    """The template of a pod: labels, annotations and spec; its name is not looked at."""
    mine, spec = template.get("metadata") or {}, template.get("spec") or {}
    annotations = mine.get("annotations") or {}
    errors = validate_labels(mine.get("labels") or {}, f"{path}.labels")
    errors += validate_annotations(annotations, f"{path}.annotations")
    errors += validate_pod_annotations(annotations, spec, f"{path}.annotations")
    errors += validate_pod_spec(spec, f"{path}.spec", allow_privileged=allow_privileged)
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errors.append(FieldError.forbidden(f"{path}.spec.ephemeralContainers", text))
    return errors


def _validate_claims(claims: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at, name = f"{path}[{index}]", claim.get("name") or ""
        if not name:
            errors.append(FieldError.required(f"{at}.name"))
        elif name in seen:
            errors.append(FieldError.duplicate(f"{at}.name", name))
        else:
            errors += dns_label(name, f"{at}.name")
        seen.add(name)
        existing, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        shown = {"Name": name, "ResourceClaimName": existing, "ResourceClaimTemplateName": template}
        if existing is not None and template is not None:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(FieldError.invalid(at, shown, text))
        if existing is None and template is None:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(FieldError.invalid(at, shown, text))
        for field in ("resourceClaimName", "resourceClaimTemplateName"):
            if claim.get(field) is not None:
                errors += dns_subdomain(claim[field], f"{at}.{field}")
    return errors


def _validate_host_network(spec: Tree, path: str, *, is_pod: bool) -> list[FieldError]:
    """On the host's network a container has the host's ports. Templates may leave them to the pod's defaults."""
    if not spec.get("hostNetwork"):
        return []
    text = "must match `containerPort` when `hostNetwork` is true"
    return [
        FieldError.invalid(f"{path}.containers[{index}].ports[{position}].hostPort", port.get("hostPort") or 0, text)
        for index, container in enumerate(spec.get("containers") or ())
        for position, port in enumerate(container.get("ports") or ())
        if (is_pod or port.get("hostPort")) and port.get("hostPort") != port.get("containerPort")
    ]


def _validate_policies(spec: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for field, allowed in (
        ("restartPolicy", RESTART_POLICIES),
        ("dnsPolicy", _DNS_POLICIES),
        ("preemptionPolicy", ("PreemptLowerPriority", "Never")),
    ):
        value = spec.get(field)
        if value is None and field == "preemptionPolicy":
            continue
        if not value:
            errors.append(FieldError.required(f"{path}.{field}"))
        elif value not in allowed:
            errors.append(FieldError.not_supported(f"{path}.{field}", value, allowed))
    return errors


def _validate_dns(spec: Tree, path: str) -> list[FieldError]:
    config, errors = spec.get("dnsConfig"), []
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [FieldError.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [FieldError.required(f"{path}.nameservers", text)]
    if config is None:
        return []
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        errors.append(FieldError.invalid(f"{path}.nameservers", servers, "must not have more than 3 nameservers"))
    for index, server in enumerate(servers):
        errors += validate_address(server, f"{path}.nameservers[{index}]")
    if len(searches) > 32:
        errors.append(FieldError.invalid(f"{path}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(FieldError.invalid(f"{path}.searches", searches, text))
    for index, search in enumerate(searches):
        if search != ".":
            errors += checked(dns1123_subdomain_with_underscore, search.removesuffix("."), f"{path}.searches[{index}]")
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(FieldError.required(f"{path}.options[{index}]", "must not be empty"))
    return errors


def _validate_host_users(spec: Tree, path: str) -> list[FieldError]:
    if spec.get("hostUsers") is not False:
        return []
    why, errors = "when `hostUsers` is false", []
    for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(field):
            errors.append(FieldError.forbidden(f"{path}.{shown}", why))
    for container, at in _all_containers(spec, path):
        if container.get("volumeDevices"):
            errors.append(FieldError.forbidden(f"{at}.volumeDevices", why))
    return errors


def _validate_names(spec: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    override = spec.get("hostnameOverride")
    if override is not None:
        at = f"{path}.hostnameOverride"
        if spec.get("setHostnameAsFQDN"):
            errors.append(FieldError.forbidden(at, "may not be specified when setHostnameAsFQDN is true"))
        if spec.get("hostNetwork"):
            errors.append(FieldError.forbidden(at, "may not be specified when hostNetwork is true"))
        if len(override) > 64:
            errors.append(FieldError.too_long(at, 64))
        errors += dns_subdomain(override, at)
    for field in ("serviceAccountName", "nodeName", "priorityClassName"):
        if value := spec.get(field):
            errors += dns_subdomain(value, f"{path}.{field}")
    if spec.get("runtimeClassName") is not None:
        errors += dns_subdomain(spec["runtimeClassName"], f"{path}.runtimeClassName")
    for field in ("hostname", "subdomain"):
        if value := spec.get(field):
            errors += dns_label(value, f"{path}.{field}")
    return errors


def _validate_deadline(spec: Tree, path: str) -> list[FieldError]:
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is None:
        return []
    return invalid_each(f"{path}.activeDeadlineSeconds", seconds, in_range(seconds, 1, _MAX_INT32))


def _validate_host_aliases(aliases: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, alias in enumerate(aliases):
        errors += validate_address(alias.get("ip") or "", f"{path}[{index}].ip")
        for position, name in enumerate(alias.get("hostnames") or ()):
            errors += dns_subdomain(name, f"{path}[{index}].hostnames[{position}]")
    return errors


def _all_containers(spec: Tree, path: str) -> Iterator[tuple[Tree, str]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield container, f"{path}.{field}[{index}]"


def _validate_file_references(spec: Tree, path: str) -> list[FieldError]:
    """Variables that are read from a file need an emptyDir that holds it."""
    volumes = {one.get("name") or "": one for one in spec.get("volumes") or ()}
    errors: list[FieldError] = []
    for container, at in _all_containers(spec, path):
        for index, variable in enumerate(container.get("env") or ()):
            reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if reference is None:
                continue
            name, where = reference.get("volumeName") or "", f"{at}.env[{index}].valueFrom.fileKeyRef.volumeName"
            if name not in volumes:
                errors.append(FieldError.not_found(where, name))
            elif volumes[name].get("emptyDir") is None:
                errors.append(FieldError.invalid(where, name, "referenced volume must be of type emptyDir"))
    return errors
