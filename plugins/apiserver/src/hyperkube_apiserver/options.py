"""The API server's options. Names, meanings and defaults are kube-apiserver's unless the help says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyperkube_apiserver.accessoptions import AUTHORIZATION_MODES, AccessOptions, check_access
from hyperkube_apiserver.admissionplugins import check_names
from hyperkube_apiserver.auditoptions import AuditOptions, check_audit_options
from hyperkube_apiserver.storageoptions import STORAGE_BACKENDS, StorageOptions, check_backend, check_storage
from hyperkube_core import ForeignFlag, SettingsError, flag

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AUTHORIZATION_MODES", "STORAGE_BACKENDS", "Options", "PortRange", "parse_port_range"]

DEFAULT_DATA_DIR = Path("~/.local/share/hk/apiserver")
DEFAULT_PORT = 6443
DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
LONGEST_SHUTDOWN_SECONDS = 120.0
"""Of each of its two steps; the launcher waits for their sum and what requests may take."""

PortRange = tuple[int, int]


def parse_service_ranges(text: str) -> str:
    """One range, or two of different families. Raises ValueError."""
    import ipaddress

    versions = []
    for part in text.split(","):
        try:
            versions.append(ipaddress.ip_network(part).version)
        except ValueError:
            raise ValueError(f'"{part}" is not an address range such as 10.0.0.0/24') from None
    if len(set(versions)) < len(versions):
        raise ValueError("must be one range, or one of each family")
    return text


def parse_port_range(text: str) -> PortRange:
    """First and last port of `30000-32767`, `30000+2767` or `30000`. Source: k8s.io/apimachinery/pkg/util/net."""
    first, dash, last = text.strip().partition("-")
    size = ""
    if not dash:
        first, plus, size = first.partition("+")
        last = "" if plus else first
    numbers = [first, size or last]
    if not all(number.strip().isdigit() for number in numbers):
        raise ValueError(f'"{text}" is not a range of ports such as 30000-32767')
    low, high = int(first), int(first) + int(size) if size else int(last)
    if not 0 < low <= high <= 65535:
        raise ValueError(f'"{text}" is not a range of ports such as 30000-32767')
    return low, high


def _show_port_range(ports: PortRange) -> str:
    return f"{ports[0]}-{ports[1]}"


def _check_positive(seconds: float) -> None:
    if seconds <= 0:
        raise ValueError("it must be more than 0")


def _check_issuers(issuers: tuple[str, ...]) -> None:
    if not issuers or not all(issuers):
        raise ValueError("it must not be empty")
    for issuer in issuers:
        if ":" in issuer and not _is_url(issuer):
            raise ValueError(f'"{issuer}" has a colon and is no URL')


def _check_keys_uri(uri: str) -> None:
    if uri and not (_is_url(uri) and uri.startswith("https:")):
        raise ValueError(f'"{uri}" is no URL that begins with https')


def _is_url(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme)
    except ValueError:
        return False


def _check_longest_token(seconds: float) -> None:
    if seconds and not 3600 <= seconds <= 1 << 32:
        raise ValueError("it must be from one hour to 2^32 seconds, or 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(StorageOptions, AuditOptions, AccessOptions):
    """What the command line, the variables, the config file and the defaults came to."""

    data_dir: Path = flag(
        DEFAULT_DATA_DIR,
        section="Storage",
        metavar="folder",
        help="The folder of everything this server keeps: objects, its certificate authority, admin.kubeconfig. It is"
        " created, for its owner alone. hk's own flag.",
    )
    storage_backend: str = flag(
        "sqlite",
        section="Storage",
        check=check_backend,
        metavar="store",
        help="Where objects are kept: sqlite, a file in the data directory; memory, which forgets them when the server"
        " stops; or etcd3, as they are with --etcd-servers in any case.",
    )
    event_ttl: float = flag(3600.0, section="Storage", kind="duration", minimum=0, help="How long events are kept.")
    etcd_compaction_interval: float = flag(
        300.0,
        section="Storage",
        kind="duration",
        minimum=0,
        help="How often history is forgotten: what was there one interval before. 0 keeps it all.",
    )

    bind_address: str = flag(
        "127.0.0.1",
        section="Serving",
        kind="ip",
        help="The address to listen on. kube-apiserver listens on all of them unless told otherwise, this server on"
        " loopback.",
    )
    advertise_address: str | None = flag(
        None,
        section="Serving",
        kind="ip",
        help="The address that the endpoints of the service kubernetes tell. Without it that is --bind-address, or"
        " where that means nothing to others the address that this machine has on its way out.",
    )
    secure_port: int = flag(
        DEFAULT_PORT,
        section="Serving",
        minimum=0,
        maximum=65535,
        help="The port of HTTPS. 0 has the system choose a free one, which admin.kubeconfig tells.",
    )
    cert_dir: Path | None = flag(
        None,
        section="Serving",
        metavar="folder",
        help="Where apiserver.crt and apiserver.key are, to serve with, unless --tls-cert-file says otherwise. What is"
        " kept in etcd needs no data directory: without --data-dir it is the folder hk in this one then, and without"
        " either the port is in its name, unless that is 6443.",
    )
    tls_cert_file: Path | None = flag(
        None,
        section="Serving",
        metavar="file",
        help="The certificate to serve with, its intermediates behind it. Without it one is made and signed by an"
        " authority of the server's own.",
    )
    tls_private_key_file: Path | None = flag(
        None, section="Serving", metavar="file", help="The private key of --tls-cert-file."
    )
    request_timeout: float = flag(
        60.0,
        section="Serving",
        kind="duration",
        check=_check_positive,
        help="After this long a request is given up. Watches are not meant.",
    )
    min_request_timeout: int = flag(
        1800,
        section="Serving",
        metavar="seconds",
        minimum=0,
        help="A watch lasts at least this many seconds, and at most twice as many, unless the client says how long.",
    )

    max_requests_inflight: int = flag(
        400,
        section="Serving",
        minimum=0,
        help="How many reads are worked on at a time; more are answered with 429. 0 for any number.",
    )
    max_mutating_requests_inflight: int = flag(
        200,
        section="Serving",
        minimum=0,
        help="How many writes are worked on at a time; more are answered with 429. 0 for any number.",
    )
    shutdown_delay_duration: float = flag(
        0.0,
        section="Serving",
        kind="duration",
        minimum=0,
        maximum=LONGEST_SHUTDOWN_SECONDS,
        help="For so long, before it stops, the server fails /readyz and serves all else, so that load balancers learn"
        " of it.",
    )
    shutdown_send_retry_after: bool = flag(
        False,
        section="Serving",
        help="Listen until running requests have finished, and answer new ones with 429 and Retry-After meanwhile.",
    )
    shutdown_watch_termination_grace_period: float = flag(
        0.0,
        section="Serving",
        kind="duration",
        minimum=0,
        maximum=LONGEST_SHUTDOWN_SECONDS,
        help="End watches one after another over up to this long, rather than all at once, when the server stops.",
    )

    kubelet_certificate_authority: Path | None = flag(
        None,
        section="Kubelets",
        metavar="file",
        help="Authorities that kubelets' certificates are checked with. Without it they are not checked.",
    )
    kubelet_client_certificate: Path | None = flag(
        None, section="Kubelets", metavar="file", help="The certificate to show to kubelets."
    )
    kubelet_client_key: Path | None = flag(
        None, section="Kubelets", metavar="file", help="The private key of --kubelet-client-certificate."
    )
    proxy_client_cert_file: Path | None = flag(
        None,
        section="Aggregation",
        metavar="file",
        help="The certificate to show to the servers that APIServices name, which they believe what it says of users"
        " by. Without it one is made, by an authority of its own in the data directory.",
    )
    proxy_client_key_file: Path | None = flag(
        None, section="Aggregation", metavar="file", help="The private key of --proxy-client-cert-file."
    )
    enable_aggregator_routing: bool = flag(
        False,
        section="Aggregation",
        help="Reach services that APIServices and webhooks name at their endpoints, not at their cluster IPs.",
    )
    aggregator_reject_forwarding_redirect: bool = flag(
        True,
        section="Aggregation",
        help="Refuse to pass redirects of aggregated API servers on to clients.",
    )
    kubelet_preferred_address_types: tuple[str, ...] = flag(
        ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"),
        section="Kubelets",
        metavar="types",
        help="Which of a node's addresses its kubelet is reached at: the first of these that it has.",
    )

    client_ca_file: Path | None = flag(
        None,
        section="Authentication",
        metavar="file",
        help="Authorities whose certificates name users, besides the server's own.",
    )
    token_auth_file: Path | None = flag(
        None,
        section="Authentication",
        metavar="file",
        help='Bearer tokens, one a line: token,user,uid,"group1,group2".',
    )
    enable_bootstrap_token_auth: bool = flag(
        False,
        section="Authentication",
        help="Take the tokens of secrets of type bootstrap.kubernetes.io/token in kube-system, by which machines that"
        " are to be nodes ask for their first certificate.",
    )
    api_audiences: tuple[str, ...] = flag(
        (),
        section="Authentication",
        metavar="names",
        help="What this server calls itself: tokens of service accounts must be meant for one of these. Without it that"
        " is the first --service-account-issuer.",
    )
    service_account_issuer: tuple[str, ...] = flag(
        (DEFAULT_ISSUER,),
        section="Authentication",
        kind="array",
        check=_check_issuers,
        metavar="url",
        help="Who issues the tokens of service accounts. Given more than once, the first issues and all are believed."
        " kube-apiserver needs to be told, this server has a name of its own.",
    )
    service_account_signing_key_file: Path | None = flag(
        None,
        section="Authentication",
        metavar="file",
        help="The private key that tokens of service accounts are signed with, RSA or ECDSA. Without it one is made in"
        " the data directory.",
    )
    service_account_key_file: tuple[str, ...] = flag(
        (),
        section="Authentication",
        kind="array",
        metavar="file",
        help="Keys, public or private, whose tokens of service accounts are believed. Without it that is the key that"
        " signs, which is believed beside them if it is the server's own.",
    )
    service_account_max_token_expiration: float = flag(
        0.0,
        section="Authentication",
        kind="duration",
        check=_check_longest_token,
        help="Tokens of service accounts last no longer; 0 for as long as is asked for.",
    )
    service_account_extend_token_expiration: bool = flag(
        True,
        section="Authentication",
        help="Let the tokens last a year that are put into pods unasked, for clients that read them but once.",
    )
    service_account_lookup: bool = flag(
        True,
        section="Authentication",
        help="Refuse tokens that are kept in secrets once the secret is gone. Those that were asked for are refused"
        " without their account in any case.",
    )
    service_account_jwks_uri: str = flag(
        "",
        section="Authentication",
        check=_check_keys_uri,
        metavar="url",
        help="Where others find the keys that tokens of service accounts are verified with, if not at this server.",
    )
    anonymous_auth: bool = flag(
        True,
        section="Authentication",
        help="Take requests that say nothing about who makes them, as user system:anonymous.",
    )

    allow_privileged: bool = flag(
        False, section="Admission", help="Let pods have privileged containers, which may do all that their node may."
    )
    allow_loopback_endpoints: bool = flag(
        False,
        section="Admission",
        help="Let endpoints have loopback addresses, which kube-apiserver refuses: for a cluster whose pods are"
        " all on this machine. The endpoints of the service kubernetes tell --bind-address then, be it loopback.",
    )
    pod_network: Path | None = flag(
        None,
        section="Kubelets",
        metavar="socket",
        help="The Unix socket of the kubelet's that leads into the pods' network, where that is not the machine's own:"
        " pods and services are proxied to through it. hk's own flag.",
    )
    enable_admission_plugins: tuple[str, ...] = flag(
        (),
        section="Admission",
        check=partial(check_names, "enable-admission-plugins"),
        metavar="plugins",
        help="Admission plugins to ask besides those that are on anyway. Their order does not matter.",
    )
    disable_admission_plugins: tuple[str, ...] = flag(
        (),
        section="Admission",
        check=partial(check_names, "disable-admission-plugins"),
        metavar="plugins",
        help="Admission plugins not to ask, although they are on unless told otherwise.",
    )
    admission_control: tuple[str, ...] = flag(
        (),
        section="Admission",
        check=partial(check_names, "admission-control"),
        metavar="plugins",
        help="The admission plugins to ask, and no others. Deprecated: use --enable-admission-plugins and"
        " --disable-admission-plugins.",
    )
    admission_control_config_file: Path | None = flag(
        None,
        section="Admission",
        metavar="file",
        help="What admission plugins are told: an AdmissionConfiguration.",
    )
    default_not_ready_toleration_seconds: int = flag(
        300,
        section="Admission",
        metavar="seconds",
        help="How long pods stay on a node that is not ready, unless they say otherwise.",
    )
    default_unreachable_toleration_seconds: int = flag(
        300,
        section="Admission",
        metavar="seconds",
        help="How long pods stay on a node that cannot be reached, unless they say otherwise.",
    )

    service_cluster_ip_range: str = flag(
        "10.0.0.0/24",
        section="Services",
        kind=parse_service_ranges,
        metavar="cidrs",
        help="The range that addresses of services are taken from, or one of each family, the default one first; its"
        " first address is that of the service kubernetes.",
    )
    service_node_port_range: PortRange = flag(
        (30000, 32767),
        section="Services",
        kind=parse_port_range,
        show=_show_port_range,
        metavar="first-last",
        help="The range that node ports of services are taken from.",
    )

    @staticmethod
    def foreign_flags() -> Mapping[str, ForeignFlag]:
        """kube-apiserver's flags that are not fields here."""
        from hyperkube_apiserver.flags import foreign_flags

        return foreign_flags()

    def __post_init__(self) -> None:
        object.__setattr__(self, "data_dir", self._data_directory().expanduser())
        check_access(self)
        check_audit_options(self)
        check_storage(self, self.storage_backend)
        issuers = self.service_account_issuer
        if len(set(issuers)) != len(issuers):
            name = "service-account-issuer"
            raise SettingsError(name, f"flag --{name}", "the same issuer is given twice")
        for certificate, key in (
            ("tls_cert_file", "tls_private_key_file"),
            ("kubelet_client_certificate", "kubelet_client_key"),
            ("proxy_client_cert_file", "proxy_client_key_file"),
        ):
            self._check_pair(certificate, key)
        self._check_plugins()

    def _data_directory(self) -> Path:
        """What is said, or, of servers that keep their objects in etcd and are told no folder, one for each port."""
        if not self.etcd_servers or self.data_dir != DEFAULT_DATA_DIR:
            return self.data_dir
        if self.cert_dir is not None:
            return self.cert_dir / "hk"
        if self.secure_port in (0, DEFAULT_PORT):
            return self.data_dir
        return self.data_dir.with_name(f"{self.data_dir.name}-{self.secure_port}")

    def _check_pair(self, certificate: str, key: str) -> None:
        """Raise if one of the two is given without the other."""
        if (getattr(self, certificate) is None) == (getattr(self, key) is None):
            return
        given, missing = (f"--{name.replace('_', '-')}" for name in (certificate, key))
        if getattr(self, certificate) is None:
            given, missing = missing, given
        raise SettingsError(missing.lstrip("-"), f"flag {missing}", f"must be given together with {given}")

    def _check_plugins(self) -> None:
        """Raise for flags that name the same plugin on and off. Source: k8s.io/apiserver/pkg/server/options."""
        enabled, disabled = self.enable_admission_plugins, self.disable_admission_plugins
        if self.admission_control and (enabled or disabled):
            name, why = "admission-control", "admission-control and enable-admission-plugins/disable-admission-plugins "
            raise SettingsError(name, f"flag --{name}", f"{why}flags are mutually exclusive")
        if both := sorted(set(enabled) & set(disabled)):
            name, why = "enable-admission-plugins", "in enable-admission-plugins and disable-admission-plugins "
            raise SettingsError(name, f"flag --{name}", f"[{' '.join(both)}] {why}overlapped")
