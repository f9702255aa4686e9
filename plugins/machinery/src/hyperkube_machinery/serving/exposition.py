"""What a registry holds, as text: Prometheus' 0.0.4, and OpenMetrics 1.0 for those that accept it.

Source: github.com/prometheus/docs exposition_formats, openmetrics.io/spec; k8s.io/component-base/metrics.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator

from hyperkube_machinery.serving.compression import accepts_gzip, compressed
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.serving.metrics import AnyFamily, Counter, Histogram, Registry

__all__ = ["OPENMETRICS_TYPE", "TEXT_TYPE", "exposed", "exposition"]

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"

_SLICE_LINES = 2000
"""Written before others have their turn: about a millisecond."""
_GZIP_BYTES = 1024


async def exposed(registry: Registry, request: Request) -> Response:
    """The answer to a scrape, in the form that `request` accepts."""
    openmetrics = _wants_openmetrics(request.headers.get("accept", ""))
    body = b"".join([piece async for piece in exposition(registry, openmetrics=openmetrics)])
    response = Response(200, body, OPENMETRICS_TYPE if openmetrics else TEXT_TYPE)
    if len(body) > _GZIP_BYTES and accepts_gzip(request.headers.get("accept-encoding", "")):
        return await compressed(response)
    return response


async def exposition(registry: Registry, *, openmetrics: bool = False) -> AsyncIterator[bytes]:
    """The text, piece by piece, so that a long one holds nobody up."""
    lines: list[str] = []
    for family in registry:
        for line in _family(family, openmetrics):
            lines.append(line)
            if len(lines) >= _SLICE_LINES:
                yield "".join(lines).encode()
                lines.clear()
                await asyncio.sleep(0)
    if openmetrics:
        lines.append("# EOF\n")
    yield "".join(lines).encode()


def _wants_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics is liked at least as much as anything else that is served."""
    best = {"openmetrics": 0.0, "text": 0.0}
    for part in accept.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        try:
            quality = float(given.get("q", "1"))
        except ValueError:
            continue
        if media_type == "application/openmetrics-text" and given.get("version", "1.0.0") in ("0.0.1", "1.0.0"):
            best["openmetrics"] = max(best["openmetrics"], quality)
        elif media_type == "text/plain" and given.get("version", "0.0.4") == "0.0.4":
            best["text"] = max(best["text"], quality)
    return best["openmetrics"] > 0 and best["openmetrics"] >= best["text"]


def _family(family: AnyFamily, openmetrics: bool) -> Iterator[str]:
    """A family without instruments isn't told of at all, nor a histogram that has labels and counted nothing yet."""
    number = _openmetrics_number if openmetrics else _number
    name, sample = family.name, family.name
    if openmetrics and family.kind == "counter":
        name = name.removesuffix("_total")
        sample = f"{name}_total"
    told = False
    for instrument in family.instruments():
        if isinstance(instrument, Histogram) and instrument.labels and not any(instrument.counts):
            continue
        if not told:
            text = family.help.replace("\\", "\\\\").replace("\n", "\\n")
            yield f"# HELP {name} {text}\n# TYPE {name} {family.kind}\n"
            told = True
        if isinstance(instrument, Histogram):
            yield from _histogram(name, instrument, number)
        else:
            yield _line(sample, instrument, number)


def _line(name: str, instrument: Counter, number: Callable[[float], str]) -> str:
    if instrument.labels:
        return f"{name}{{{instrument.labels}}} {number(instrument.value)}\n"
    return f"{name} {number(instrument.value)}\n"


def _histogram(name: str, histogram: Histogram, number: Callable[[float], str]) -> Iterator[str]:
    labels = histogram.labels
    before = f"{labels}," if labels else ""
    total = 0
    for bound, count in zip((*histogram.bounds, math.inf), histogram.counts, strict=True):
        total += count
        yield f'{name}_bucket{{{before}le="{number(bound)}"}} {total}\n'
    braced = f"{{{labels}}}" if labels else ""
    yield f"{name}_sum{braced} {number(histogram.sum)}\n{name}_count{braced} {total}\n"


def _number(value: float) -> str:
    """A number as Go writes it."""
    if value == int(value) if math.isfinite(value) else False:
        return str(int(value)) if abs(value) < 1e15 else repr(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _openmetrics_number(value: float) -> str:
    text = _number(value)
    return f"{text}.0" if text.lstrip("-").isdigit() else text
