"""Static bearer tokens from a file of `token,user,uid,"group1,group2"`.

Source: k8s.io/apiserver/pkg/authentication/token/tokenfile.
"""

from __future__ import annotations

import logging
import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING

from hyperkube_machinery.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["StaticTokens", "TokenFileError"]

log = logging.getLogger(__name__)


class TokenFileError(ValueError):
    """The token file can't be used; the message names the file and the line."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        where = f"token file '{path}', line {line}" if line else f"token file '{path}'"
        super().__init__(f"{where}: {message}")
        self.path = path
        self.line = line


class StaticTokens:
    """Whom each token stands for.

    Tokens are kept and looked up as digests under a key of this process, so that how long a look-up takes tells
    nothing about the tokens, and so that no memory dump shows them.
    """

    def __init__(self, identities: Mapping[str, Identity]) -> None:
        self._key = secrets.token_bytes(32)
        self._identities = {self._digest(token): who.authenticated() for token, who in identities.items()}

    @classmethod
    def load(cls, path: Path) -> StaticTokens:
        """Read `path`. As upstream a token that occurs twice stands for its last user, which is logged."""
        try:
            with path.open(encoding="utf-8", newline="") as lines:
                return cls(_read(path, lines))
        except OSError as exc:
            raise TokenFileError(path, 0, f"cannot read it: {exc.strerror or exc}") from exc
        except UnicodeDecodeError as exc:
            raise TokenFileError(path, 0, "it is not UTF-8 text") from exc

    def __len__(self) -> int:
        return len(self._identities)

    def find(self, token: str) -> Identity | None:
        """The user whom `token` stands for."""
        return self._identities.get(self._digest(token))

    def _digest(self, token: str) -> bytes:
        return blake2b(token.encode("utf-8", "surrogatepass"), key=self._key, digest_size=32).digest()


def _read(path: Path, lines: Iterable[str]) -> dict[str, Identity]:
    import csv  # few servers are given such a file

    identities: dict[str, Identity] = {}
    records = csv.reader(lines, strict=True)
    while True:
        try:
            record = next(records)
        except StopIteration:
            return identities
        except csv.Error as exc:
            raise TokenFileError(path, records.line_num, f"it is not a CSV record: {exc}") from exc
        if not record:
            continue
        if len(record) < 3:
            raise TokenFileError(
                path,
                records.line_num,
                f"must have at least 3 columns (token, user name, user uid), found {len(record)}",
            )
        token, name, uid = record[:3]
        if not token:
            log.warning("token file '%s', line %d: the token is empty and ignored", path, records.line_num)
            continue
        if token in identities:
            log.warning(
                "token file '%s', line %d: the token occurs before; it stands for user %r now",
                path,
                records.line_num,
                name,
            )
        groups = tuple(record[3].split(",")) if len(record) > 3 else ()
        identities[token] = Identity(name, uid, groups)
