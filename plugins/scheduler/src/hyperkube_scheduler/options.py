"""The scheduler's options. Names, meanings and defaults are upstream's unless the help says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hyperkube_core import ForeignFlag, SettingsError, flag

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Options"]


def _check_lock(lock: str) -> None:
    if lock != "leases":
        raise ValueError(f'"{lock}" is no lock that there is: it must be leases')


def _check_positive(seconds: float) -> None:
    if seconds <= 0:
        raise ValueError("it must be more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line, the variables, the config file and the defaults came to."""

    kubeconfig: Path | None = flag(
        None,
        section="API server",
        metavar="file",
        help="A kubeconfig that says where the API server is, and who this is. Without it and --master, what a pod"
        " finds counts.",
    )
    master: str = flag(
        "",
        section="API server",
        metavar="url",
        help="The address of the API server, in place of the one in the kubeconfig.",
    )
    kube_api_qps: float = flag(
        0.0,
        section="API server",
        help="How many requests a second may be sent to the API server; 0 or less for any number. kube-scheduler sends"
        " 50 unless told otherwise, this server as many as there are pods.",
    )
    kube_api_burst: int = flag(
        100, section="API server", minimum=0, help="How many may be sent at once, where they are limited."
    )

    config: Path | None = flag(
        None,
        section="Scheduling",
        metavar="file",
        help="A KubeSchedulerConfiguration: profiles, their steps and weights. What it says of the connection and the"
        " lease counts unless a flag says otherwise.",
    )
    pod_max_in_unschedulable_pods_duration: float = flag(
        300.0,
        section="Scheduling",
        kind="duration",
        check=_check_positive,
        help="How long a pod that fits nowhere is left alone while nothing happens that may help it.",
    )

    leader_elect: bool | None = flag(
        None,
        section="Leader election",
        help="Schedule only while holding a lease, so that several of these servers may run and one works. It is so"
        " unless this or --config says otherwise.",
    )
    leader_elect_lease_duration: float | None = flag(
        None,
        section="Leader election",
        kind="duration",
        check=_check_positive,
        help="How long others wait after the lease was last renewed until they take it: 15s.",
    )
    leader_elect_renew_deadline: float | None = flag(
        None,
        section="Leader election",
        kind="duration",
        check=_check_positive,
        help="How long the leader tries to renew the lease before it gives up; less than the lease lasts: 10s.",
    )
    leader_elect_retry_period: float | None = flag(
        None,
        section="Leader election",
        kind="duration",
        check=_check_positive,
        help="How long to wait between tries to take or renew the lease: 2s.",
    )
    leader_elect_resource_lock: str = flag(
        "leases", section="Leader election", check=_check_lock, help="The kind of object that is the lock: leases."
    )
    leader_elect_resource_name: str = flag(
        "", section="Leader election", metavar="name", help="The name of the lease: kube-scheduler."
    )
    leader_elect_resource_namespace: str = flag(
        "", section="Leader election", metavar="namespace", help="The namespace of the lease: kube-system."
    )

    bind_address: str = flag(
        "127.0.0.1",
        section="Serving",
        kind="ip",
        help="The address to serve health and metrics on. kube-scheduler listens on all of them unless told otherwise,"
        " this server on loopback.",
    )
    secure_port: int = flag(
        10259,
        section="Serving",
        minimum=0,
        maximum=65535,
        help="The port of HTTPS for health and metrics; 0 to serve nothing.",
    )
    tls_cert_file: Path | None = flag(
        None,
        section="Serving",
        metavar="file",
        help="The certificate to serve with, its intermediates behind it. Without it the server makes one that it signs"
        " itself.",
    )
    tls_private_key_file: Path | None = flag(
        None, section="Serving", metavar="file", help="The private key of --tls-cert-file."
    )
    client_ca_file: Path | None = flag(
        None, section="Serving", metavar="file", help="Authorities whose certificates name users."
    )
    authentication_kubeconfig: Path | None = flag(
        None,
        section="Serving",
        metavar="file",
        help="A kubeconfig to ask the API server with whose a token is. Without it that is --kubeconfig.",
    )
    authorization_kubeconfig: Path | None = flag(
        None,
        section="Serving",
        metavar="file",
        help="A kubeconfig to ask the API server with what a user may do: the same file as"
        " --authentication-kubeconfig.",
    )
    authorization_always_allow_paths: tuple[str, ...] = flag(
        ("/healthz", "/readyz", "/livez"),
        section="Serving",
        metavar="paths",
        help="Paths that anybody may read; a * at the end stands for anything.",
    )
    authentication_token_webhook_cache_ttl: float = flag(
        10.0, section="Serving", kind="duration", minimum=0, help="How long is remembered whose a token is."
    )
    authorization_webhook_cache_authorized_ttl: float = flag(
        10.0, section="Serving", kind="duration", minimum=0, help="How long is remembered that a user may do something."
    )
    authorization_webhook_cache_unauthorized_ttl: float = flag(
        10.0, section="Serving", kind="duration", minimum=0, help="How long is remembered that a user may not."
    )

    @staticmethod
    def foreign_flags() -> Mapping[str, ForeignFlag]:
        """kube-scheduler's flags that are not fields here."""
        from hyperkube_scheduler.flags import foreign_flags

        return foreign_flags()

    def __post_init__(self) -> None:
        asking = (self.authentication_kubeconfig, self.authorization_kubeconfig)
        if None not in asking and asking[0] != asking[1]:
            name = "authorization-kubeconfig"
            raise SettingsError(name, f"flag --{name}", "must be the same file as --authentication-kubeconfig")
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            given, missing = "--tls-cert-file", "--tls-private-key-file"
            if self.tls_cert_file is None:
                given, missing = missing, given
            raise SettingsError(missing.lstrip("-"), f"flag {missing}", f"must be given together with {given}")
