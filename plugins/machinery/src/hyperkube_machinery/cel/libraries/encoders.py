"""`base64.encode(b"…")`, `base64.decode("…")`. Source: cel-go's ext/encoders.go."""

from __future__ import annotations

import base64
import binascii

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.types import BYTES, STRING

__all__ = ["ENCODERS"]


def _decode(text: str) -> bytes:
    plain = text.replace("\r", "").replace("\n", "")
    try:
        return base64.b64decode(plain if plain.endswith("=") else plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError("illegal base64 data at input byte 0") from None


ENCODERS = Library(
    name="cel.lib.ext.encoders",
    functions=(
        Function("base64.decode", Overload("base64_decode_string", (STRING,), BYTES, _decode)),
        Function(
            "base64.encode",
            Overload("base64_encode_bytes", (BYTES,), STRING, lambda data: base64.b64encode(data).decode()),
        ),
    ),
)
