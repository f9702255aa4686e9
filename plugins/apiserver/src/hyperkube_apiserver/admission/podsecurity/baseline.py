"""What no ordinary pod needs: each check tells what a pod does of it, or None.

Source: k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from functools import partial

from hyperkube_apiserver.admission.podsecurity.parts import (
    Tree,
    Violation,
    containers,
    counted,
    in_user_namespace,
    quoted,
    security,
    who,
)
from hyperkube_machinery.quoting import quoted as go_quoted

__all__ = ["BASELINE", "Check", "proc_mount", "wrong_seccomp"]

Check = Callable[[Tree, Tree], Violation | None]
"""Looks at the metadata and the spec of a pod."""

_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_PROFILES = ("RuntimeDefault", "Localhost")
_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))
_SYSCTLS = frozenset(
    {
        *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies"),
        *("net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"),
    }
)
_SYSCTLS_27 = _SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_29 = _SYSCTLS_27 | {
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout"),
    *("net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"),
}
_SYSCTLS_32 = _SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}


def _app_armor(metadata: Tree, spec: Tree) -> Violation | None:
    pod, names, values = _profiles(spec, "appArmorProfile")
    annotations = sorted(
        f"{key}={go_quoted(value)}"
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(_APP_ARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    setters = list(filter(None, [who(names, pod=pod)]))
    if annotations:
        setters.append(counted(annotations, "annotation"))
    if not setters:
        return None
    told = [*values, *annotations]
    detail = f"{' and '.join(setters)} must not set AppArmor profile type to {quoted(told)}"
    return Violation(counted(told, "forbidden AppArmor profile"), detail)


def _profiles(spec: Tree, field: str) -> tuple[bool, list[str], list[str]]:
    """Whether the pod, and which containers, set a profile that is not allowed, and which those are."""
    values = set()
    own = security(spec).get(field)
    pod = own is not None and own.get("type") not in _PROFILES
    if own is not None and pod:
        values.add(own.get("type") or "")
    names = []
    for container in containers(spec):
        profile = security(container).get(field)
        if profile is not None and profile.get("type") not in _PROFILES:
            names.append(container["name"])
            values.add(profile.get("type") or "")
    return pod, names, sorted(values)


def _capabilities(metadata: Tree, spec: Tree) -> Violation | None:
    names, added = [], set()
    for container in containers(spec):
        wrong = set((security(container).get("capabilities") or {}).get("add") or ()) - _CAPABILITIES
        if wrong:
            names.append(container["name"])
            added |= wrong
    if not names:
        return None
    detail = f"{who(names)} must not include {quoted(sorted(added))} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def _host_namespaces(metadata: Tree, spec: Tree) -> Violation | None:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def _host_path_volumes(metadata: Tree, spec: Tree) -> Violation | None:
    names = [volume["name"] for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    return Violation("hostPath volumes", f"{counted(names, 'volume')} {quoted(names)}") if names else None


def _host_ports(metadata: Tree, spec: Tree) -> Violation | None:
    names, ports = [], set()
    for container in containers(spec):
        taken = {str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")}
        if taken:
            names.append(container["name"])
            ports |= taken
    if not names:
        return None
    uses, called = counted(names, "uses", "use"), counted(ports, "hostPort")
    return Violation("hostPort", f"{who(names)} {uses} {called} {', '.join(sorted(ports))}")


def _probe_hosts(metadata: Tree, spec: Tree) -> Violation | None:
    found: dict[str, set[str]] = {}
    for container in containers(spec):
        if hosts := set(_hosts(container)):
            found.setdefault(container["name"], set()).update(hosts)
    if not found:
        return None
    names, all_hosts = sorted(found), sorted(set().union(*found.values()))
    uses, called = counted(names, "uses", "use"), counted(all_hosts, "probe or lifecycle host")
    return Violation("probe or lifecycle host", f"{who(names)} {uses} {called} {quoted(all_hosts)}")


def _hosts(container: Tree) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(field) for field in ("livenessProbe", "readinessProbe", "startupProbe")]
    for handler in (*handlers, lifecycle.get("postStart"), lifecycle.get("preStop")):
        for action in ("httpGet", "tcpSocket"):
            if host := ((handler or {}).get(action) or {}).get("host"):
                yield host


def _privileged(metadata: Tree, spec: Tree) -> Violation | None:
    names = [container["name"] for container in containers(spec) if security(container).get("privileged")]
    return Violation("privileged", f"{who(names)} must not set securityContext.privileged=true") if names else None


def proc_mount(metadata: Tree, spec: Tree) -> Violation | None:
    names, kinds = [], set()
    for container in containers(spec):
        kind = security(container).get("procMount")
        if kind is not None and kind != "Default":
            names.append(container["name"])
            kinds.add(kind)
    if not names:
        return None
    return Violation("procMount", f"{who(names)} must not set securityContext.procMount to {quoted(sorted(kinds))}")


def _proc_mount_35(metadata: Tree, spec: Tree) -> Violation | None:
    return None if in_user_namespace(spec) else proc_mount(metadata, spec)


def _selinux(allowed: Container[str], metadata: Tree, spec: Tree) -> Violation | None:
    types: set[str] = set()
    told: set[str] = set()

    def is_wrong(part: Tree) -> bool:
        options = security(part).get("seLinuxOptions") or {}
        wrong = {field for field in ("user", "role") if options.get(field)}
        told.update(wrong)
        if (kind := options.get("type") or "") not in allowed:
            types.add(kind)
            return True
        return bool(wrong)

    pod = is_wrong(spec)
    names = [container["name"] for container in containers(spec) if is_wrong(container)]
    if not pod and not names:
        return None
    data = [f"{counted(types, 'type')} {quoted(sorted(types))}"] if types else []
    data += [f"{field} may not be set" for field in ("user", "role") if field in told]
    detail = f"{who(names, pod=pod)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"
    return Violation("seLinuxOptions", detail)


def _seccomp_annotations(metadata: Tree, spec: Tree) -> Violation | None:
    annotations = metadata.get("annotations") or {}
    keys = {_SECCOMP_POD, *(f"{_SECCOMP_CONTAINER}{container['name']}" for container in containers(spec))}
    wrong = sorted(
        f"{key}={go_quoted(annotations[key])}"
        for key in keys & set(annotations)
        if annotations[key] not in ("runtime/default", "docker/default")
        and not annotations[key].startswith("localhost/")
    )
    if not wrong:
        return None
    return Violation("seccompProfile", f"forbidden {counted(wrong, 'annotation')} {', '.join(wrong)}")


def wrong_seccomp(metadata: Tree, spec: Tree) -> Violation | None:
    pod, names, values = _profiles(spec, "seccompProfile")
    if not pod and not names:
        return None
    detail = f"{who(names, pod=pod)} must not set securityContext.seccompProfile.type to {quoted(values)}"
    return Violation("seccompProfile", detail)


def _sysctls(allowed: Container[str], metadata: Tree, spec: Tree) -> Violation | None:
    names = [one["name"] for one in security(spec).get("sysctls") or () if one["name"] not in allowed]
    return Violation("forbidden sysctls", ", ".join(names)) if names else None


def _host_process(metadata: Tree, spec: Tree) -> Violation | None:
    def is_wrong(part: Tree) -> bool:
        return bool((security(part).get("windowsOptions") or {}).get("hostProcess"))

    pod, names = is_wrong(spec), [container["name"] for container in containers(spec) if is_wrong(container)]
    if not pod and not names:
        return None
    detail = f"{who(names, pod=pod)} must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", detail)


BASELINE: dict[str, tuple[tuple[int, Check], ...]] = {
    "appArmorProfile": ((0, _app_armor),),
    "capabilities_baseline": ((0, _capabilities),),
    "hostNamespaces": ((0, _host_namespaces),),
    "hostPathVolumes": ((0, _host_path_volumes),),
    "hostPorts": ((0, _host_ports),),
    "hostProbesAndHostLifecycle": ((34, _probe_hosts),),
    "privileged": ((0, _privileged),),
    "procMount": ((0, proc_mount), (35, _proc_mount_35)),
    "seLinuxOptions": (
        (0, partial(_selinux, _SELINUX_TYPES)),
        (31, partial(_selinux, _SELINUX_TYPES | {"container_engine_t"})),
    ),
    "seccompProfile_baseline": ((0, _seccomp_annotations), (19, wrong_seccomp)),
    "sysctls": (
        (0, partial(_sysctls, _SYSCTLS)),
        (27, partial(_sysctls, _SYSCTLS_27)),
        (29, partial(_sysctls, _SYSCTLS_29)),
        (32, partial(_sysctls, _SYSCTLS_32)),
    ),
    "windowsHostProcess": ((0, _host_process),),
}
"""The checks by upstream's names, in the order in which refusals tell of them, each since which minor version."""
