"""Who the client says it is: what stays so, and what is renewed while it runs.

Source: k8s.io/client-go/transport/{token_source,cert_rotation}.go, plugin/pkg/client/auth/exec/exec.go
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from hyperkube_machinery.client.execcommand import Told, ask
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.kubeconfig import Access, Impersonation

__all__ = ["Credentials", "Headers"]

log = logging.getLogger(__name__)

Headers: TypeAlias = tuple[tuple[str, str], ...]

_REREAD_SECONDS = 60.0


class Credentials:
    """What is sent with each request, and shown when a connection is made."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._token = access.token
        self.certificate = (access.certificate_pem, access.key_pem)  # (b"", b"") for none
        self._told: Told | None = None
        self._asking = asyncio.Lock()
        self._fixed = (*_basic(access), *_impersonating(access.impersonation))
        files = (access.token_file, access.certificate_file, access.key_file)
        self._reread = clock.monotonic() + _REREAD_SECONDS if any(files) else float("inf")
        self._headers = self._made()

    def known(self) -> Headers | None:
        """The headers to send; None where they have to be found out first."""
        if self._clock.monotonic() >= self._reread:
            self._read_again()
        if self._access.command is not None and self._is_stale():
            return None
        return self._headers

    async def find(self) -> Headers:
        """The headers to send. Raises CommandFailed."""
        command = self._access.command
        async with self._asking:
            if command is not None and self._is_stale():
                self._told = await ask(command, self._clock)
                if self._told.certificate_pem:
                    self.certificate = (self._told.certificate_pem, self._told.key_pem)
                self._headers = self._made()
        return self._headers

    def refused(self) -> None:
        """The server answered 401: a command is asked again, for the next request."""
        self._told = None

    def _is_stale(self) -> bool:
        told = self._told
        return told is None or (told.expires is not None and self._clock.now() >= told.expires)

    def _read_again(self) -> None:
        """Take what the files hold now; what can't be read doesn't count, for it may be in the making."""
        self._reread = self._clock.monotonic() + _REREAD_SECONDS
        access = self._access
        if access.token_file is not None and (token := _content(access.token_file).strip()):
            self._token = token.decode("utf-8", "replace")
            self._headers = self._made()
        certificate, key = self.certificate
        if access.certificate_file is not None:
            certificate = _content(access.certificate_file) or certificate
        if access.key_file is not None:
            key = _content(access.key_file) or key
        self.certificate = (certificate, key)

    def _made(self) -> Headers:
        # A token of the kubeconfig goes before a command's, as in client-go.
        token = self._token or (self._told.token if self._told is not None else "")
        return (*((("authorization", f"Bearer {token}"),) if token else ()), *self._fixed)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        log.error("cannot read credentials again: %s: %s", file, exc.strerror)
        return b""


def _basic(access: Access) -> Headers:
    if not access.username:
        return ()
    pair = base64.b64encode(f"{access.username}:{access.password}".encode()).decode("ascii")
    return (("authorization", f"Basic {pair}"),)


def _impersonating(whom: Impersonation | None) -> Iterator[tuple[str, str]]:
    if whom is None:
        return
    yield "impersonate-user", whom.user
    if whom.uid:
        yield "impersonate-uid", whom.uid
    for group in whom.groups:
        yield "impersonate-group", group
    for name, values in whom.extra.items():
        for value in values:
            yield f"impersonate-extra-{quote(name.lower(), safe='!#$&*+-.^_|~')}", value
