"""Where a server listens: a Unix socket, or a host and port, with TLS or without."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

__all__ = ["Endpoint"]

P = TypeVar("P", bound=asyncio.Protocol)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whom to connect to: `path`, or `host` and `port`."""

    path: Path | None = None
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None  # offers h2 alone
    name: str = ""  # that the server's certificate must have, if not `host`

    @property
    def text(self) -> str:
        """As Go words it in failures."""
        if self.path is not None:
            return f"unix {self.path}"
        return f"tcp {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """What a call tells the server that it is called."""
        return "localhost" if self.path is not None else self.text.removeprefix("tcp ")

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"

    async def connect(self, protocol: Callable[[], P]) -> P:
        """A connection. Raises OSError, of which errors of TLS are some."""
        loop = asyncio.get_running_loop()
        if self.path is not None:
            _, made = await loop.create_unix_connection(protocol, str(self.path))
        elif self.tls is None:
            _, made = await loop.create_connection(protocol, self.host, self.port)
        else:
            name = self.name or self.host
            _, made = await loop.create_connection(protocol, self.host, self.port, ssl=self.tls, server_hostname=name)
        return made
