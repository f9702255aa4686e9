"""Who a client says that it is: the owner of what it writes, unless it names one.

Source: k8s.io/apiserver/pkg/endpoints/handlers (create.go, prefixFromUserAgent).
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["manager_of"]

_MOST_BYTES = 128


@lru_cache(maxsize=256)
def manager_of(user_agent: str) -> str:
    """What stands before the first slash, without what can't be printed, and no longer than a manager's name may be."""
    name = ""
    size = 0
    for character in user_agent.partition("/")[0]:
        if not character.isprintable():
            continue
        width = len(character.encode("utf-8", "surrogatepass"))
        if size + width > _MOST_BYTES:
            break
        name += character
        size += width
    return name
