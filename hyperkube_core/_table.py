"""Tables: drawn by rich on a terminal, without columns that say nothing; in plain columns for everyone else."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> str:
    """The text of a table for `stream`."""
    if stream.isatty():
        return _drawn(titles, rows, stream)
    widths = [max(len(row[column]) for row in (titles, *rows)) for column in range(len(titles))]
    lines = ("   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in (titles, *rows))
    return "".join(line.rstrip() + "\n" for line in lines)


def _drawn(titles: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    said = [any(row[column] for row in rows) for column in range(len(titles))]  # the others would only take room
    for title in compress(titles, said):
        drawn.add_column(title, overflow="fold")  # half an address is of no use to anybody
    for row in rows:
        drawn.add_row(*map(Text, compress(row, said)))  # as Text, since brackets in a reason are no markup
    console = Console(file=stream)
    with console.capture() as capture:
        console.print(drawn)
    return capture.get()
