"""By whom the certificate at the other end was verified, which Python tells publicly from 3.13 on only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl import SSLObject

__all__ = ["verified_chain"]

_DER = 2  # _ssl.ENCODING_DER


def verified_chain(ssl_object: SSLObject | None) -> tuple[bytes, ...]:
    """The certificates (DER) from the peer's own to the authority that was trusted; empty where there is none."""
    if ssl_object is None:
        return ()
    told: Any = ssl_object
    if hasattr(told, "get_verified_chain"):
        return tuple(told.get_verified_chain())
    chain = told._sslobj.get_verified_chain() or ()
    return tuple(one.public_bytes(_DER) for one in chain)
