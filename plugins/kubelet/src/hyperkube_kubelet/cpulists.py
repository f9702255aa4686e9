"""Lists of processors, as the kernel writes them: `0-3,7`."""

from __future__ import annotations

__all__ = ["cpu_list"]


def cpu_list(text: str) -> set[int]:
    """The processors that are listed. Raises ValueError."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise ValueError(f'"{text}" is no list of processors such as 0-1,3')
        found.update(range(int(first), int(last or first) + 1))
    return found
