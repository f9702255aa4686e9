"""The flags of etcd, and of encryption at rest. Names, meanings and defaults are kube-apiserver's.

Source: k8s.io/apiserver/pkg/server/options/etcd.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hyperkube_core import SettingsError, flag

__all__ = ["ETCD", "STORAGE_BACKENDS", "StorageOptions", "check_backend", "check_storage"]

ETCD = "etcd3"
STORAGE_BACKENDS = ("sqlite", "memory", ETCD)

_SECTION = "Storage"
_SCHEMES = ("http", "https", "unix", "unixs")


def check_backend(backend: str) -> None:
    if backend not in STORAGE_BACKENDS:
        raise ValueError(f'"{backend}" is not a store; there are {", ".join(STORAGE_BACKENDS)}')


def _check_servers(servers: tuple[str, ...]) -> None:
    for server in servers:
        try:
            parts = urlsplit(server if "://" in server else f"http://{server}")
            good = bool(parts.scheme in _SCHEMES and (parts.port or parts.path or parts.hostname))
        except ValueError:
            good = False
        if not good:
            raise ValueError(f'"{server}" is not the address of an etcd, such as https://10.0.0.1:2379')


def _check_prefix(prefix: str) -> None:
    if not prefix.strip("/"):
        raise ValueError("it must not be empty")


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """What the server is told of etcd, and of what is encrypted."""

    etcd_servers: tuple[str, ...] = flag(
        (),
        section=_SECTION,
        check=_check_servers,
        metavar="urls",
        help="Keep objects in the etcd, or the cluster of them, at these addresses, and not in the data directory.",
    )
    etcd_prefix: str = flag(
        "/registry", section=_SECTION, check=_check_prefix, metavar="prefix", help="What keys in etcd begin with."
    )
    etcd_cafile: Path | None = flag(
        None, section=_SECTION, metavar="file", help="Authorities that etcd's certificates are checked with."
    )
    etcd_certfile: Path | None = flag(None, section=_SECTION, metavar="file", help="The certificate to show to etcd.")
    etcd_keyfile: Path | None = flag(None, section=_SECTION, metavar="file", help="The private key of --etcd-certfile.")
    etcd_healthcheck_timeout: float = flag(
        2.0, section=_SECTION, kind="duration", minimum=0, help="How long etcd has to answer checks of health."
    )
    etcd_readycheck_timeout: float = flag(
        2.0, section=_SECTION, kind="duration", minimum=0, help="How long etcd has to answer checks of readiness."
    )
    lease_reuse_duration_seconds: int = flag(
        60,
        section=_SECTION,
        minimum=0,
        metavar="seconds",
        help="For so long events share a lease in etcd, at most.",
    )
    encryption_provider_config: Path | None = flag(
        None,
        section=_SECTION,
        metavar="file",
        help="Which resources are encrypted at rest, and how: an EncryptionConfiguration.",
    )
    encryption_provider_config_automatic_reload: bool = flag(
        False, section=_SECTION, help="Read the file of --encryption-provider-config again when it has changed."
    )


def check_storage(options: StorageOptions, backend: str) -> None:
    """Raise SettingsError for flags that don't go together."""
    if backend == ETCD and not options.etcd_servers:
        raise SettingsError("etcd-servers", "flag --etcd-servers", "--etcd-servers must be specified")
    if backend == "memory" and options.etcd_servers:
        raise _wrong("storage-backend", "objects are kept in memory, or in --etcd-servers, not in both")
    if (options.etcd_certfile is None) != (options.etcd_keyfile is None):
        given, missing = ("certfile", "keyfile") if options.etcd_keyfile is None else ("keyfile", "certfile")
        raise _wrong(f"etcd-{missing}", f"must be given together with --etcd-{given}")
    if options.encryption_provider_config_automatic_reload and options.encryption_provider_config is None:
        name = "encryption-provider-config-automatic-reload"
        raise _wrong(name, f"--{name} must be set with --encryption-provider-config")


def _wrong(name: str, why: str) -> SettingsError:
    return SettingsError(name, f"flag --{name}", why)
