"""Containers of all three sorts.

Source: validateContainers, validateInitContainers, validateEphemeralContainers in core validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.registry.fields import checked, dns_label, one_of, port_number
from hyperkube_apiserver.registry.podspec.env import validate_env, validate_env_from
from hyperkube_apiserver.registry.podspec.mounts import validate_devices, validate_mounts
from hyperkube_apiserver.registry.podspec.probes import validate_lifecycle, validate_probes
from hyperkube_apiserver.registry.podspec.resources import validate_resources
from hyperkube_apiserver.registry.podspec.security import validate_container_security
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import port_name

__all__ = ["Surroundings", "validate_containers", "validate_ephemeral_containers", "validate_init_containers"]

Tree = Mapping[str, Any]

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_NOT_EPHEMERAL = (
    *("ports", "resources", "livenessProbe", "lifecycle", "readinessProbe", "startupProbe"),
    *("resizePolicy", "restartPolicy", "restartPolicyRules"),
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of its pod a container is checked against."""

    volumes: Mapping[str, Tree]  # the valid ones, by name
    claims: frozenset[str]
    grace_seconds: int | None
    os: Tree | None
    restart_policy: str
    host_users: bool
    allow_privileged: bool


def validate_containers(containers: Sequence[Tree], pod: Surroundings, path: str) -> list[FieldError]:
    if not containers:
        return [FieldError.required(path)]
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, container in enumerate(containers):
        at, name = f"{path}[{index}]", container.get("name") or ""
        errors += _validate_common(container, pod, at)
        if name in names:
            errors.append(FieldError.duplicate(f"{at}.name", name))
        names.add(name)
        errors += validate_lifecycle(container.get("lifecycle"), pod.grace_seconds, pod.os, f"{at}.lifecycle")
        errors += validate_probes(container, pod.grace_seconds, at)
        errors += _validate_restart_policy(container, at)
    return errors + _validate_host_ports(containers, path)


def validate_init_containers(
    containers: Sequence[Tree], regular: Iterable[Tree], pod: Surroundings, path: str
) -> list[FieldError]:
    errors: list[FieldError] = []
    names = {one.get("name") or "" for one in regular}
    for index, container in enumerate(containers):
        at, name = f"{path}[{index}]", container.get("name") or ""
        errors += _validate_common(container, pod, at)
        errors += _validate_restart_policy(container, at)
        if name in names:
            errors.append(FieldError.duplicate(f"{at}.name", name))
        elif name:
            names.add(name)
        errors += _validate_host_ports([container], path)
        if container.get("restartPolicy") == "Always":
            errors += validate_lifecycle(container.get("lifecycle"), pod.grace_seconds, pod.os, f"{at}.lifecycle")
            errors += validate_probes(container, pod.grace_seconds, at)
            continue
        text = "may not be set for init containers without restartPolicy=Always"
        for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(field) is not None:
                errors.append(FieldError.forbidden(f"{at}.{field}", text))
        for position, policy in enumerate(container.get("resizePolicy") or ()):
            if policy.get("restartPolicy") == "RestartContainer":
                text = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                where = f"{at}.resizePolicy[{position}].restartPolicy"
                errors.append(FieldError.invalid(where, "RestartContainer", text))
    return errors


def validate_ephemeral_containers(
    containers: Sequence[Tree], others: Iterable[Tree], pod: Surroundings, path: str
) -> list[FieldError]:
    errors: list[FieldError] = []
    targets = {one.get("name") or "" for one in others}
    names = set(targets)
    why = "cannot be set for an Ephemeral Container"
    for index, container in enumerate(containers):
        at, name = f"{path}[{index}]", container.get("name") or ""
        errors += _validate_common(container, pod, at) + validate_image_spaces(container, at)
        if name in names:
            errors.append(FieldError.duplicate(f"{at}.name", name))
        names.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            errors.append(FieldError.not_found(f"{at}.targetContainerName", target))
        errors += [FieldError.forbidden(f"{at}.{field}", why) for field in _NOT_EPHEMERAL if container.get(field)]
        for position, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    errors.append(FieldError.forbidden(f"{at}.volumeMounts[{position}].{field}", why))
    return errors


def validate_image_spaces(container: Tree, path: str) -> list[FieldError]:
    """In pods alone: what templates were once allowed to hold fails when the pod is made."""
    image = container.get("image") or ""
    if image == image.strip():
        return []
    return [FieldError.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")]


def _validate_common(container: Tree, pod: Surroundings, path: str) -> list[FieldError]:
    name = container.get("name") or ""
    errors = dns_label(name, f"{path}.name") if name else [FieldError.required(f"{path}.name")]
    if not container.get("image"):
        errors.append(FieldError.required(f"{path}.image"))
    policy, allowed = container.get("terminationMessagePolicy"), ("File", "FallbackToLogsOnError")
    if policy not in allowed:
        errors.append(FieldError.not_supported(f"{path}.terminationMessagePolicy", policy, allowed))
    errors += _validate_ports(container.get("ports") or (), f"{path}.ports")
    errors += validate_env(container.get("env") or (), f"{path}.env")
    errors += validate_env_from(container.get("envFrom") or (), f"{path}.envFrom")
    errors += validate_mounts(container, pod.volumes, f"{path}.volumeMounts")
    errors += validate_devices(container, pod.volumes, f"{path}.volumeDevices")
    pull = container.get("imagePullPolicy") or ""
    errors += one_of(pull, _PULL_POLICIES, f"{path}.imagePullPolicy", required=True)
    errors += validate_resources(container.get("resources") or {}, pod.claims, f"{path}.resources")
    errors += _validate_resize_policy(container.get("resizePolicy") or (), pod.restart_policy, f"{path}.resizePolicy")
    context = container.get("securityContext")
    return errors + validate_container_security(
        context, f"{path}.securityContext", host_users=pod.host_users, allow_privileged=pod.allow_privileged
    )


def _validate_ports(ports: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{path}[{index}]"
        if name := port.get("name"):
            wrong = checked(port_name, name, f"{at}.name")
            errors += wrong
            if not wrong and name in names:
                errors.append(FieldError.duplicate(f"{at}.name", name))
            elif not wrong:
                names.add(name)
        if number := port.get("containerPort"):
            errors += port_number(number, f"{at}.containerPort")
        else:
            errors.append(FieldError.required(f"{at}.containerPort"))
        if number := port.get("hostPort"):
            errors += port_number(number, f"{at}.hostPort")
        errors += one_of(port.get("protocol") or "", PROTOCOLS, f"{at}.protocol", required=True)
    return errors


def _validate_host_ports(containers: Iterable[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for position, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            socket = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if socket in taken:
                errors.append(FieldError.duplicate(f"{path}[{index}].ports[{position}].hostPort", socket))
            taken.add(socket)
    return errors


def _validate_resize_policy(policies: Sequence[Tree], restart_policy: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        resource, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if resource in seen:
            errors.append(FieldError.duplicate(f"{path}[{index}]", resource))
        seen.add(resource)
        errors += one_of(resource, ("cpu", "memory"), path, required=True)
        errors += one_of(restart, ("NotRequired", "RestartContainer"), path, required=True)
        if restart_policy == "Never" and restart != "NotRequired":
            text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            errors.append(FieldError.invalid(path, restart, text))
    return errors


def _validate_restart_policy(container: Tree, path: str) -> list[FieldError]:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    errors: list[FieldError] = []
    if policy is not None:
        errors += one_of(policy, ("Always", "Never", "OnFailure"), f"{path}.restartPolicy")
    elif rules:
        text = "must specify restartPolicy when restart rules are used"
        errors.append(FieldError.required(f"{path}.restartPolicy", text))
    if len(rules) > 20:
        errors.append(FieldError.too_many(f"{path}.restartPolicyRules", len(rules), 20))
    for index, rule in enumerate(rules):
        at = f"{path}.restartPolicyRules[{index}]"
        errors += one_of(rule.get("action") or "", ("Restart", "RestartAllContainers"), f"{at}.action")
        codes = rule.get("exitCodes")
        if codes is None:
            errors.append(FieldError.required(f"{at}.exitCodes", "must be specified"))
            continue
        errors += one_of(codes.get("operator") or "", ("In", "NotIn"), f"{at}.exitCodes.operator")
        values = codes.get("values") or ()
        if len(values) > 255:
            errors.append(FieldError.too_many(f"{at}.exitCodes.values", len(values), 255))
    return errors
