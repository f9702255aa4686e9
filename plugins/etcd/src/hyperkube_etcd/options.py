"""etcd's options. Names, meanings and defaults are etcd 3.5's unless the help says otherwise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyperkube_core import ForeignFlag, SettingsError, flag

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Options"]

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|h|m|s))+")


def _check_urls(urls: tuple[str, ...]) -> None:
    for url in urls:
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port is not None
        except ValueError:
            good = False
        if not good:
            raise ValueError(f'"{url}" is no URL such as http://127.0.0.1:2379')


def _check_one_member(cluster: str) -> None:
    if len({part.partition("=")[0] for part in cluster.split(",") if part}) > 1:
        raise ValueError("this etcd is one member alone: run etcd itself for a cluster of several")


def _check_mode(mode: str) -> None:
    if mode not in ("periodic", "revision"):
        raise ValueError(f'"{mode}" is not a mode; there are periodic and revision')


def _check_retention(text: str) -> None:
    if not text.isdecimal() and not _DURATION.fullmatch(text):
        raise ValueError(f'"{text}" is neither a number nor a duration such as 30m')


def _check_backend(backend: str) -> None:
    if backend not in ("sqlite", "memory"):
        raise ValueError(f'"{backend}" is not a store; there are sqlite, memory')


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line, the variables, the config file and the defaults came to."""

    name: str = flag("default", section="Member", help="What this member is called.")
    data_dir: Path | None = flag(
        None,
        section="Member",
        metavar="folder",
        help="The folder of the store. It is created, for its owner alone. Without it that is the member's name with"
        " .etcd behind it, in the working directory.",
    )
    storage_backend: str = flag(
        "sqlite",
        section="Member",
        check=_check_backend,
        metavar="store",
        help="Where keys are kept: sqlite, a file in the data directory, or memory, which forgets them when the server"
        " stops. hk's own flag.",
    )
    listen_client_urls: tuple[str, ...] = flag(
        ("http://localhost:2379",),
        section="Member",
        check=_check_urls,
        metavar="urls",
        help="Where clients are listened for: http or https, an address, and a port, of which 0 is any that is free.",
    )
    advertise_client_urls: tuple[str, ...] = flag(
        (), section="Member", check=_check_urls, metavar="urls", help="Where clients are told to find this member."
    )
    listen_peer_urls: tuple[str, ...] = flag(
        ("http://localhost:2380",),
        section="Member",
        check=_check_urls,
        metavar="urls",
        help="Nobody is listened for there: there are no peers.",
    )
    initial_advertise_peer_urls: tuple[str, ...] = flag(
        ("http://localhost:2380",),
        section="Member",
        check=_check_urls,
        metavar="urls",
        help="Told in the list of members.",
    )
    initial_cluster: str = flag(
        "", section="Member", check=_check_one_member, metavar="members", help="The members: this one, and no other."
    )
    listen_metrics_urls: tuple[str, ...] = flag(
        (),
        section="Member",
        check=_check_urls,
        metavar="urls",
        help="Where /metrics and /health are served besides, without TLS for http.",
    )

    quota_backend_bytes: int = flag(
        0,
        section="Limits",
        help="Above this size, keys can only be deleted until the alarm is disarmed. 0 is 2 GiB, below 0 is no limit.",
    )
    max_txn_ops: int = flag(128, section="Limits", minimum=1, help="The most operations of a transaction.")
    max_request_bytes: int = flag(1572864, section="Limits", minimum=1, help="The most bytes of a request.")
    max_concurrent_streams: int = flag(
        (1 << 32) - 1, section="Limits", minimum=1, help="The most calls at a time on one connection."
    )
    grpc_keepalive_min_time: float = flag(
        5.0, section="Limits", kind="duration", minimum=0, help="Clients may ask no more often whether this is there."
    )
    grpc_keepalive_interval: float = flag(
        7200.0, section="Limits", kind="duration", minimum=0, help="After so long clients are asked whether they are."
    )
    grpc_keepalive_timeout: float = flag(
        20.0, section="Limits", kind="duration", minimum=0, help="How long they have to answer that."
    )
    heartbeat_interval: int = flag(
        100, section="Limits", minimum=1, metavar="ms", help="Of no effect: there are no others to hear it."
    )
    election_timeout: int = flag(
        1000, section="Limits", minimum=1, metavar="ms", help="Leases last one and a half times as long at least."
    )
    auto_compaction_mode: str = flag(
        "periodic",
        section="Limits",
        check=_check_mode,
        metavar="mode",
        help="How history is forgotten by itself: periodic, by its age, or revision, by how much there is.",
    )
    auto_compaction_retention: str = flag(
        "0",
        section="Limits",
        check=_check_retention,
        metavar="amount",
        help="What is kept: hours or a duration, or a number of revisions. 0 keeps all.",
    )
    experimental_watch_progress_notify_interval: float = flag(
        600.0,
        section="Limits",
        kind="duration",
        minimum=0.1,
        help="How often silent watches that ask for it are told how far they are.",
    )

    cert_file: Path | None = flag(None, section="TLS", metavar="file", help="The certificate to serve with.")
    key_file: Path | None = flag(None, section="TLS", metavar="file", help="The private key of --cert-file.")
    trusted_ca_file: Path | None = flag(
        None, section="TLS", metavar="file", help="Let nobody in without a certificate of these authorities."
    )
    client_cert_auth: bool = flag(
        False, section="TLS", help="Let nobody in without a certificate, as --trusted-ca-file does by itself."
    )

    @staticmethod
    def foreign_flags() -> Mapping[str, ForeignFlag]:
        """etcd's flags that are not fields here."""
        from hyperkube_etcd.flags import foreign_flags

        return foreign_flags()

    def __post_init__(self) -> None:
        for url in (*self.listen_client_urls, *self.listen_metrics_urls):
            if url.startswith("https:") and (self.cert_file is None or self.key_file is None):
                raise _wrong("cert-file", f"{url} can't be served without --cert-file and --key-file")
        if (self.cert_file is None) != (self.key_file is None):
            raise _wrong("key-file", "--cert-file and --key-file must be given together")
        if self.client_cert_auth and self.trusted_ca_file is None:
            raise _wrong("trusted-ca-file", "--client-cert-auth needs --trusted-ca-file")
        if not self.advertise_client_urls and self.listen_client_urls != ("http://localhost:2379",):
            raise _wrong(
                "advertise-client-urls",
                "--advertise-client-urls is required when --listen-client-urls is set explicitly",
            )

    @property
    def directory(self) -> Path:
        """The data directory."""
        return (self.data_dir or Path(f"{self.name}.etcd")).expanduser()


def _wrong(name: str, why: str) -> SettingsError:
    return SettingsError(name, f"flag --{name}", why)
