"""What a server is told about encryption at rest; a server that encrypts nothing imports only this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["EncryptionConfigurationError", "EncryptionTerms"]


class EncryptionConfigurationError(ValueError):
    """The file that says what is encrypted can't be used; the message says all that is wrong with it."""


@dataclass(frozen=True, slots=True)
class EncryptionTerms:
    """Which file says what is encrypted, and whether it is read again when it changes."""

    file: Path
    reloads: bool = False
