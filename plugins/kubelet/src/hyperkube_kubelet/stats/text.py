"""Figures as Prometheus' text, with the times at which they were taken.

They are made anew for each scrape: instruments that are kept would show what is gone.
Source: github.com/prometheus/docs exposition_formats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hyperkube_machinery.serving.compression import accepts_gzip, compressed
from hyperkube_machinery.serving.exposition import TEXT_TYPE
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.serving.metrics import Kind

__all__ = ["Family", "Line", "lines", "told"]

Line = tuple[str, float, float]
"""Labels as `label_text` writes them, what was read, and when; 0.0 for now."""

_SLICE_LINES = 500
"""Written before others have their turn: about a millisecond."""
_GZIP_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Family:
    """Samples of one name."""

    name: str
    kind: Kind
    help: str
    lines: Iterable[Line]


async def told(families: Iterable[Family], request: Request) -> Response:
    """The answer to a scrape."""
    pieces: list[str] = []
    for count, line in enumerate(lines(families), 1):
        pieces.append(line)
        if count % _SLICE_LINES == 0:
            await asyncio.sleep(0)
    response = Response(200, "".join(pieces).encode(), TEXT_TYPE)
    if len(response.body) > _GZIP_BYTES and accepts_gzip(request.headers.get("accept-encoding", "")):
        return await compressed(response)
    return response


def lines(families: Iterable[Family]) -> Iterator[str]:
    """The text, line by line; a family without samples isn't told of."""
    for family in families:
        head = f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
        for labels, value, at in family.lines:
            braced = f"{{{labels}}}" if labels else ""
            moment = f" {round(at * 1000)}" if at else ""
            yield f"{head}{family.name}{braced} {_number(value)}{moment}\n"
            head = ""


def _number(value: float) -> str:
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    return repr(value)
