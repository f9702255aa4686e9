"""As whom containers run, under which profiles, and which kernel settings pods may have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.containers.profiles import InvalidProfile, apparmor_refusal
from hyperkube_kubelet.containers.security import Confinement, RootForbidden, sandbox_security, security_of
from hyperkube_kubelet.containers.sysctls import Allowlist, safe_sysctls
from hyperkube_kubelet.runtime.values import Image, SELinux

from ..builders import container, pod

ROOT = Path("/var/lib/kubelet/seccomp")
ANNOTATION = "container.apparmor.security.beta.kubernetes.io/main"
NO_APPARMOR = "AppArmor is not enabled on the host"


def image(user: str) -> Image:
    return Image(id="sha256:1", tags=(), digests=(), size=1, user=user)


def secured(context: dict[str, Any] | None = None, of_pod: dict[str, Any] | None = None, **settings: Any) -> Any:
    spec = container("main", securityContext=context or {})
    made = pod(spec, securityContext=of_pod or {})
    return security_of(made, spec, None, Confinement(seccomp_root=ROOT, **settings))


@pytest.mark.parametrize(
    ("user", "found"),
    [("", (0, "")), ("0", (0, "")), ("1000", (1000, "")), ("1000:2000", (1000, "")), ("www:www", (None, "www"))],
)
def test_a_container_that_says_nothing_runs_as_its_images_user(user: str, found: tuple[int | None, str]) -> None:
    spec = container()
    given = security_of(pod(spec), spec, image(user))
    assert (given.run_as_user, given.run_as_username) == found


def test_a_user_that_no_system_has_is_not_taken_for_one() -> None:
    spec = container(securityContext={"runAsNonRoot": True})
    with pytest.raises(RootForbidden, match=r"image has an invalid user id \(4294967296\)"):
        security_of(pod(spec), spec, image("4294967296"))


@pytest.mark.parametrize(
    ("own", "of_pod", "default", "found"),
    [
        (None, None, False, "Unconfined"),
        (None, None, True, "RuntimeDefault"),
        ({"type": "Unconfined"}, None, True, "Unconfined"),
        (None, {"type": "RuntimeDefault"}, False, "RuntimeDefault"),
        ({"type": "Unconfined"}, {"type": "RuntimeDefault"}, False, "Unconfined"),
        ({"type": "Localhost", "localhostProfile": "my/audit.json"}, None, False, f"{ROOT}/my/audit.json"),
    ],
)
def test_seccomp_profiles(own: Any, of_pod: Any, default: bool, found: str) -> None:
    given = secured({"seccompProfile": own}, {"seccompProfile": of_pod}, seccomp_default=default)
    assert given.seccomp == found


def test_a_localhost_profile_has_a_name() -> None:
    with pytest.raises(InvalidProfile, match="localhostProfile must be set"):
        secured({"seccompProfile": {"type": "Localhost"}})


def test_proc_and_selinux_and_groups() -> None:
    masked = secured(masked_paths=("/proc/kcore", "/sys/devices/system/cpu/cpu0/thermal_throttle"))
    assert "/sys/devices/system/cpu/cpu0/thermal_throttle" in masked.masked_paths
    assert "/proc/sys" in masked.readonly_paths
    open_ = secured({"procMount": "Unmasked"})
    assert (open_.masked_paths, open_.readonly_paths) == ((), ())
    labelled = secured({"seLinuxOptions": {"level": "s0:c1"}}, {"seLinuxOptions": {"type": "t"}})
    assert labelled.selinux == SELinux(level="s0:c1")
    grouped = secured(of_pod={"fsGroup": 9, "supplementalGroups": [8], "supplementalGroupsPolicy": "Strict"})
    assert (grouped.supplemental_groups, grouped.supplemental_groups_policy) == ((9, 8), "Strict")


def test_a_sandbox_has_the_pods_users_and_the_runtimes_profile() -> None:
    context = {"runAsUser": 5, "runAsGroup": 6, "fsGroup": 7, "seccompProfile": {"type": "Unconfined"}}
    made = pod(container(securityContext={"privileged": True}), securityContext=context)
    found = sandbox_security(made)
    assert (found.run_as_user, found.run_as_group, found.supplemental_groups) == (5, 6, (7,))
    assert (found.seccomp, found.privileged) == ("RuntimeDefault", True)


@pytest.mark.parametrize(
    ("own", "annotated", "of_pod", "found"),
    [
        (None, None, None, ""),
        ({"type": "RuntimeDefault"}, "unconfined", None, "RuntimeDefault"),
        (None, "runtime/default", {"type": "Unconfined"}, "RuntimeDefault"),
        (None, "localhost/mine", None, "mine"),
        (None, "nonsense", {"type": "Unconfined"}, "Unconfined"),
        ({"type": "Localhost", "localhostProfile": "k8s-x"}, None, None, "k8s-x"),
    ],
)
def test_apparmor_profiles(own: Any, annotated: str | None, of_pod: Any, found: str) -> None:
    spec = container("main", securityContext={"appArmorProfile": own})
    annotations = {ANNOTATION: annotated} if annotated else {}
    made = pod(spec, securityContext={"appArmorProfile": of_pod}, meta_annotations=annotations)
    assert security_of(made, spec, None).apparmor == found


@pytest.mark.parametrize(
    ("own", "annotated", "unavailable", "refusal"),
    [
        (None, None, NO_APPARMOR, ""),
        ({"type": "Unconfined"}, None, NO_APPARMOR, ""),
        ({"type": "RuntimeDefault"}, None, NO_APPARMOR, NO_APPARMOR),
        (None, "localhost/x", NO_APPARMOR, NO_APPARMOR),
        ({"type": "RuntimeDefault"}, None, "", ""),
        (None, "localhost/", "", 'invalid empty AppArmor profile name: ""'),
    ],
)
def test_profiles_that_cant_be_enforced_are_refused(
    own: Any, annotated: str | None, unavailable: str, refusal: str
) -> None:
    annotations = {ANNOTATION: annotated} if annotated else {}
    made = pod(container("main", securityContext={"appArmorProfile": own}), meta_annotations=annotations)
    assert apparmor_refusal(made, unavailable) == refusal


@pytest.mark.parametrize(
    ("name", "spec", "refusal"),
    [
        ("kernel.shm_rmid_forced", {}, ""),
        ("net/ipv4/tcp_syncookies", {}, ""),
        ("kernel.shm_rmid_forced", {"hostIPC": True}, '"kernel.shm_rmid_forced" not allowed with host IPC enabled'),
        (
            "net.ipv4.tcp_syncookies",
            {"hostNetwork": True},
            '"net.ipv4.tcp_syncookies" not allowed with host Net enabled',
        ),
        ("kernel.msgmax", {}, '"kernel.msgmax" not allowlisted'),
        ("net.core.somaxconn", {}, ""),
        ("net.core.somaxconn", {"hostNetwork": True}, '"net.core.somaxconn" not allowed with host Net enabled'),
        ("vm.swappiness", {}, '"vm.swappiness" not allowlisted'),
    ],
)
def test_sysctls(name: str, spec: dict[str, Any], refusal: str) -> None:
    allowed = Allowlist([*safe_sysctls("6.1.0"), "net.core.*"])
    made = pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)
    assert allowed.refusal(made) == (f"forbidden sysctl: {refusal}" if refusal else "")


def test_old_kernels_have_fewer_safe_sysctls() -> None:
    assert "net.ipv4.tcp_rmem" in safe_sysctls("4.15.0-20-generic")
    assert "net.ipv4.tcp_rmem" not in safe_sysctls("4.14")
    assert "net.ipv4.ip_local_reserved_ports" not in safe_sysctls("strange")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [("vm.*", 'the sysctls "vm." are not known to be namespaced'), ("Net.*", "must have at most 253 characters")],
)
def test_only_what_a_pod_can_have_for_itself_is_allowed(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("*", r"\*")):
        Allowlist([pattern])
