"""What flags come to, before anything is begun: what is locked, what the node is, and how its pods are looked after."""

from __future__ import annotations

import logging
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hyperkube_core import SettingsError
from hyperkube_kubelet.admission import Permits
from hyperkube_kubelet.configuration.gates import warnings as gate_warnings
from hyperkube_kubelet.containers.profiles import why_no_apparmor
from hyperkube_kubelet.containers.security import Confinement, masked_paths
from hyperkube_kubelet.containers.sysctls import Allowlist, safe_sysctls
from hyperkube_kubelet.equipment import Upkeep
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.grouping import allocatable_of, rules_of
from hyperkube_kubelet.keepingrules import keeping_of
from hyperkube_kubelet.kerneldefaults import wrong_settings
from hyperkube_kubelet.lockfile import file_locked
from hyperkube_kubelet.node.machine import Machine, capacity
from hyperkube_kubelet.node.reservations import pods_at_most
from hyperkube_kubelet.node.status import default_labels
from hyperkube_kubelet.nodeaddresses import default_address, is_here, is_loopback, node_addresses, parse_node_ips
from hyperkube_kubelet.nodelabels import restricted
from hyperkube_kubelet.options import Options
from hyperkube_kubelet.pods.making import ClusterNames
from hyperkube_kubelet.pullrules import pulls_of
from hyperkube_kubelet.rootlock import root_locked
from hyperkube_machinery.clock import Clock

if TYPE_CHECKING:
    pass

__all__ = [
    "check_kernel",
    "facts_of",
    "lock_held",
    "permits_of",
    "raise_file_limit",
    "root_held",
    "set_oom_score",
    "upkeep_of",
    "warnings_of",
]

log = logging.getLogger(__name__)


@asynccontextmanager
async def lock_held(options: Options, clock: Clock) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        if options.lock_file is not None:
            try:
                await stack.enter_async_context(
                    file_locked(options.lock_file, clock, yields=options.exit_on_lock_contention)
                )
            except OSError as exc:
                raise SettingsError("lock-file", "flag --lock-file", str(exc)) from exc
        yield


def set_oom_score(score: int) -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(str(score))
    except OSError as exc:  # lowering it needs a right that few have
        log.warning("the kernel's score of this process can't be made %d: %s", score, exc)


def raise_file_limit(most: int) -> None:
    """Let this process have `most` files open, or as many as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # which root alone may
        except (OSError, ValueError):
            log.warning("this process may have %d open files, and not %d", hard, most)
            most = hard
        else:
            return
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def check_kernel() -> None:
    """Raise SettingsError where the kernel's settings are other than kubelets want them."""
    wrong = list(wrong_settings())
    if wrong:
        raise SettingsError("protect-kernel-defaults", "flag --protect-kernel-defaults", "; ".join(wrong))


def warnings_of(options: Options) -> Iterator[str]:
    """What is asked for that is not so."""
    yield from gate_warnings(options.feature_gates)
    if options.cloud_provider not in ("", "external"):
        yield f"--cloud-provider={options.cloud_provider} has no effect: kubelets know no cloud since Kubernetes 1.31"


@contextmanager
def root_held(options: Options) -> Iterator[None]:
    name = "root-dir"
    with ExitStack() as stack:
        try:
            stack.enter_context(root_locked(options.root_dir))
        except OSError as exc:
            raise SettingsError(name, f"flag --{name}", str(exc)) from exc
        yield


def facts_of(options: Options, machine: Machine, name: str, server: str) -> NodeFacts:
    whole = capacity(machine, max_pods=pods_at_most(options.max_pods, options.pods_per_core, machine.cpus))
    return NodeFacts(
        name=name,
        ips=_addresses(options, server),
        capacity=whole,
        allocatable=allocatable_of(options, whole, machine),
        labels={**default_labels(name, machine), **_labels(options)},
        operating_system=machine.operating_system,
    )


def _addresses(options: Options, server: str) -> tuple[str, ...]:
    try:
        found = node_addresses(parse_node_ips(options.node_ip), server, here=is_here, default=default_address)
    except ValueError as exc:
        raise SettingsError("node-ip", "flag --node-ip", str(exc)) from exc
    if options.enable_server and is_loopback(options.address) and not is_loopback(found[0]):
        log.warning(
            "logs and commands can't be asked for at %s: the kubelet listens on %s alone, see --address",
            found[0],
            options.address,
        )
    return found


def _labels(options: Options) -> dict[str, str]:
    """Those that are a kubelet's to give."""
    others = restricted(options.node_labels)
    if others:
        log.warning(
            "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels are left out: %s",
            ", ".join(others),
        )
    return {name: value for name, value in options.node_labels.items() if name not in others}


def permits_of(options: Options, machine: Machine) -> Permits | None:
    if options.container_runtime == "hollow":
        return None  # nothing is done, whatever is asked for
    try:
        allowed = Allowlist([*safe_sysctls(machine.kernel_version), *options.allowed_unsafe_sysctls])
    except ValueError as exc:
        name = "allowed-unsafe-sysctls"
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc
    return Permits(allowed, why_no_apparmor())


def upkeep_of(options: Options, facts: NodeFacts, machine: Machine) -> Upkeep:
    return Upkeep(
        root=options.root_dir,
        names=ClusterNames(
            options.cluster_dns, options.cluster_domain, Path(options.resolv_conf) if options.resolv_conf else None
        ),
        manifests=options.pod_manifest_path,
        manifest_seconds=options.file_check_frequency,
        sync_seconds=options.sync_frequency,
        kept_dead=options.maximum_dead_containers_per_container,
        dead_seconds=options.minimum_container_ttl_duration,
        rules=rules_of(options, facts, machine),
        keeping=keeping_of(options),
        pulls=pulls_of(options),
        most_back_off_seconds=options.max_container_restart_period,
        permits=permits_of(options, machine),
        confinement=Confinement(
            seccomp_default=options.seccomp_default,
            seccomp_root=options.root_dir / "seccomp",
            masked_paths=masked_paths(),
        ),
    )
