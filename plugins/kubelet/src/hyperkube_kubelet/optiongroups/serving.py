"""What is served to whom, and the process itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperkube_core import flag
from hyperkube_kubelet.optiongroups.checks import AUTHORIZATION_MODES, TLS_VERSIONS, check_suites

__all__ = ["ServingOptions"]


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """What is served to whom, and the process itself."""

    address: str = flag(
        "127.0.0.1",
        section="Serving",
        kind="ip",
        help="The address to listen on. Upstream's listens on all of them unless told otherwise, this one on loopback.",
    )
    port: int = flag(
        10250,
        section="Serving",
        minimum=0,
        maximum=65535,
        help="The port of logs, exec and all else that the API server asks for. 0 has the system choose a free one,"
        " which the node's status tells.",
    )
    enable_server: bool = flag(True, section="Serving", help="Listen on --port.")
    enable_debugging_handlers: bool = flag(True, section="Serving", help="Serve logs, exec and port-forward there.")
    tls_cert_file: Path | None = flag(
        None,
        section="Serving",
        metavar="file",
        help="The certificate to serve with, its intermediates behind it. Without it one is made that vouches for"
        " itself, under --root-dir.",
    )
    tls_private_key_file: Path | None = flag(
        None, section="Serving", metavar="file", help="The private key of --tls-cert-file."
    )
    rotate_server_certificates: bool = flag(
        False,
        section="Serving",
        help="Ask the API server for the certificate to serve with, without --tls-cert-file, and for another before it"
        " ends. Somebody has to approve the requests.",
    )
    tls_min_version: str = flag(
        "",
        section="Serving",
        choices=TLS_VERSIONS,
        metavar="version",
        help="The least version of TLS that is spoken: VersionTLS12, which it is anyway, or VersionTLS13.",
    )
    tls_cipher_suites: tuple[str, ...] = flag(
        (),
        section="Serving",
        check=check_suites,
        metavar="names",
        help="The cipher suites that are spoken below TLS 1.3, as Go calls them. Without it they are Python's choice.",
    )
    client_ca_file: Path | None = flag(
        None, section="Serving", metavar="file", help="Authorities whose certificates name users."
    )
    anonymous_auth: bool = flag(
        False,
        section="Serving",
        help="Take requests that say nothing about who makes them, as user system:anonymous. Upstream's flag is on"
        " unless told otherwise, its config file off as here.",
    )
    authentication_token_webhook: bool = flag(
        True,
        section="Serving",
        help="Ask the API server about bearer tokens. Upstream's flag is off unless told otherwise, its config file on"
        " as here.",
    )
    authentication_token_webhook_cache_ttl: float = flag(
        120.0, section="Serving", kind="duration", minimum=0, help="How long its answers about tokens are believed."
    )
    streaming_connection_idle_timeout: float = flag(
        14400.0,
        section="Serving",
        kind="duration",
        minimum=0,
        help="How long streams of exec, attach and port-forward may lie still before they are closed; 0 for ever.",
    )
    authorization_mode: str = flag(
        "Webhook",
        section="Serving",
        choices=AUTHORIZATION_MODES,
        metavar="mode",
        help="Who decides what a user may do: Webhook, the API server, or AlwaysAllow. Upstream's flag allows all"
        " unless told otherwise, its config file asks as here.",
    )
    authorization_webhook_cache_authorized_ttl: float = flag(
        300.0, section="Serving", kind="duration", minimum=0, help="How long a yes of the API server is believed."
    )
    authorization_webhook_cache_unauthorized_ttl: float = flag(
        30.0, section="Serving", kind="duration", minimum=0, help="How long a no of the API server is believed."
    )
    enable_system_log_handler: bool = flag(
        True,
        section="Serving",
        help="Serve the machine's log files at /logs/, to who may read them. A key of upstream's config file.",
    )
    read_only_port: int = flag(
        0,
        section="Serving",
        minimum=0,
        maximum=65535,
        help="A port of plain HTTP on which everybody may read pods, metrics and usage; 0 for none. Upstream's flag is"
        " 10255 unless told otherwise, its config file none as here.",
    )
    healthz_bind_address: str = flag(
        "127.0.0.1", section="Serving", kind="ip", help="The address that /healthz is served on in plain HTTP."
    )
    healthz_port: int = flag(10248, section="Serving", minimum=0, maximum=65535, help="The port of it; 0 for none.")

    lock_file: Path | None = flag(
        None, section="Process", metavar="file", help="A file to lock, after whoever has it locked has let go of it."
    )
    exit_on_lock_contention: bool = flag(
        False, section="Process", help="Leave when another process opens --lock-file, which a next kubelet does."
    )
    max_open_files: int = flag(
        0,
        section="Process",
        minimum=0,
        help="How many files the kubelet may have open. Without it that is left as it is; upstream takes 1000000.",
    )
    protect_kernel_defaults: bool = flag(
        False,
        section="Process",
        help="Don't start where the kernel's settings are other than kubelets want them. Without it they are left"
        " alone, where upstream changes them.",
    )
    oom_score_adj: int | None = flag(
        None,
        section="Process",
        minimum=-1000,
        maximum=1000,
        help="How soon the kernel kills the kubelet when memory is short: -1000 never, 1000 first. Without it that is"
        " left as it is; upstream takes -999.",
    )
