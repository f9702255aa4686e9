"""Resource versions as clients send them, and the answers for those that can't be had.

Source: k8s.io/apiserver/pkg/storage (api_object_versioner, errors).
"""

from __future__ import annotations

from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_machinery.errors import APIError, failure

__all__ = ["fresh_enough", "invalid_version", "parse_version", "too_large"]

_UINT64 = 2**64
_UINT64_DIGITS = 20
WAIT_SECONDS = 3.0
"""How long a read waits for a revision that has not been written yet."""


def parse_version(text: str) -> int | None:
    """The revision that a resource version names; None where it is none."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")  # Python refuses to read very long numbers
    value = int(digits or "0") if len(digits) <= _UINT64_DIGITS else _UINT64
    return value if value < _UINT64 else None


def invalid_version(text: str) -> str:
    """What is said of a resource version that is none."""
    number = text.isascii() and text.isdigit()
    why = "value out of range" if number else "invalid syntax"
    return f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {why}'


def too_large(revision: int, current: int) -> APIError:
    """504 for a read at a revision that lies in the future; the client should try again."""
    status = failure(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {revision}, current: {current}",
        {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )
    return APIError(status, headers=[("Retry-After", "1")])


async def fresh_enough(hub: Hub, resource_version: int) -> None:
    """Return once the caches are not older than asked: 0 is any state there is. Raises 504 for the future."""
    if resource_version > hub.revision and not await hub.reached_within(resource_version, WAIT_SECONDS):
        raise too_large(resource_version, hub.revision)
