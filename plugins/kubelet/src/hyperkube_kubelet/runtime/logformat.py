"""A container's log: a line is `2026-01-02T03:04:05.000000006Z stdout F text`.

`F` is a whole line, `P` a piece of one that goes on in the next line of the same stream. Source: CRI's log format,
k8s.io/kubernetes/pkg/kubelet/kuberuntime/logs.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LogLine", "MalformedLine", "parse"]


class MalformedLine(ValueError):
    """A line of a log isn't in the format."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a container wrote, with its line feed unless more of the line follows."""

    timestamp: str  # RFC 3339 with nanoseconds
    stream: str  # stdout or stderr
    text: bytes


def parse(line: bytes) -> LogLine:
    """`line` ends in its line feed. Raises MalformedLine."""
    parts = line.split(b" ", 3)
    if len(parts) != 4 or parts[1] not in (b"stdout", b"stderr") or not line.endswith(b"\n"):
        raise MalformedLine(f"unexpected log line {line[:80]!r}")
    timestamp, stream, tags, text = parts
    partial = tags.split(b":")[0] == b"P"
    return LogLine(timestamp.decode("ascii", "replace"), stream.decode(), text[:-1] if partial else text)
