"""The API server that is measured: one of ours, started for the purpose, or any that runs already."""

from __future__ import annotations

import argparse
import asyncio
import resource
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hyperkube_machinery import tls
from hyperkube_machinery.serving.loop import new_event_loop
from tests.bench.processes import Process, apiserver

__all__ = ["TOKEN", "Target", "add_arguments", "foreign", "ours", "run", "write_tokens"]

TOKEN = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server answers, and how to get in. Without its process only what it answers can be measured."""

    host: str
    port: int
    context: ssl.SSLContext
    token: str
    process: Process | None = None

    @property
    def processor_seconds(self) -> float:
        return self.process.processor_seconds if self.process is not None else 0.0


def write_tokens(path: Path) -> Path:
    """The file by which the servers of the bench know it as their administrator."""
    path.write_text(f'{TOKEN},admin,1,"system:masters"\n')
    return path


@contextmanager
def ours(data: Path, tokens: Path, backend: str = "sqlite") -> Iterator[Target]:
    """Our own server on a data directory, for the length of the block.

    Without the plugin that gives each pod a token: the figures of the real one were taken so.
    """
    with apiserver(data, tokens, backend, "--disable-admission-plugins=ServiceAccount") as process:
        context = tls.client_context(ca_pem=(data / "pki" / "ca.crt").read_bytes())
        yield Target("127.0.0.1", process.port, context, TOKEN, process)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where one that is started keeps its data, and how a server is named that runs already."""
    parser.add_argument("--directory", type=Path, help="where data directories are made: on the disk that counts")
    group = parser.add_argument_group("a server that runs already", "in place of one that is started")
    group.add_argument("--server", metavar="URL", help="for example https://127.0.0.1:6443")
    group.add_argument("--token", help="of an administrator")
    group.add_argument("--client-certificate", type=Path, metavar="FILE")
    group.add_argument("--client-key", type=Path, metavar="FILE")
    group.add_argument("--certificate-authority", type=Path, metavar="FILE", help="else any certificate is taken")


def run(main: Callable[[argparse.Namespace], Coroutine[Any, Any, int]], arguments: argparse.Namespace) -> int:
    """What `main` comes to; it, and what it starts, may have as many files open as there may be."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main(arguments))


def foreign(arguments: argparse.Namespace) -> Target:
    """The server that the arguments name. ValueError where they do not."""
    url = urlsplit(arguments.server)
    if url.scheme != "https" or not url.hostname:
        raise ValueError(f"--server {arguments.server}: not a URL like https://127.0.0.1:6443")
    if arguments.certificate_authority is not None:
        context = tls.client_context(ca_pem=arguments.certificate_authority.read_bytes())
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    if arguments.client_certificate is not None:
        context.load_cert_chain(arguments.client_certificate, arguments.client_key)
    return Target(url.hostname, url.port or 443, context, arguments.token or "")
