"""PEM as Go reads it: blocks that can't be read are passed over. Source: encoding/pem."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

__all__ = ["PEMBlock", "pem_blocks"]

_BLOCK = re.compile(rb"-----BEGIN ([^-\r\n]*)-----\s*\n(.*?)-----END \1-----", re.DOTALL)


class PEMBlock(NamedTuple):
    """One block."""

    kind: str  # what it says that it is: CERTIFICATE
    data: bytes  # DER
    has_headers: bool


def pem_blocks(text: bytes) -> list[PEMBlock]:
    """The blocks that can be read."""
    found = []
    for match in _BLOCK.finditer(text):
        body, has_headers = match[2], b":" in match[2]
        if has_headers:  # up to an empty line
            body = re.split(rb"\r?\n\r?\n", body, maxsplit=1)[-1]
        try:
            data = base64.b64decode(b"".join(body.split()), validate=True)
            found.append(PEMBlock(match[1].decode(), data, has_headers))
        except ValueError:
            continue
    return found
