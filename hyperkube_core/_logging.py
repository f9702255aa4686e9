"""Logs: one handler on stderr, for people, for klog's readers, or as JSON, and each line names its server.

Verbosity is klog's: `-v=N` lets through what is logged at verbosity N or lower, which is level INFO - N here. So
`logging.info` is verbosity 0 and `logging.debug`, which other people's libraries use freely, is verbosity 10.

Secrets are the business of whoever logs them, with one net below: bearer tokens are replaced in every line.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Format = Literal["auto", "human", "klog", "json"]
Color = Literal["auto", "always", "never"]

LABEL = "HK_LOG_LABEL"
"""The variable in which a managed child finds the name that its parent puts before each of its lines already."""

server_name: ContextVar[str] = ContextVar("server_name", default="")
"""The server on whose behalf this task or thread runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How to log. The format `auto` is `human` on a terminal and `klog` elsewhere; colours are for `human`."""

    verbosity: int = 0
    format: Format = "auto"
    color: Color = "auto"

    def resolved(self) -> LogSettings:
        """These settings with what `auto` means for this process's stderr."""
        terminal = sys.stderr is not None and sys.stderr.isatty()
        colored = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return LogSettings(
            verbosity=self.verbosity,
            format=("human" if terminal else "klog") if self.format == "auto" else self.format,
            color=("always" if colored else "never") if self.color == "auto" else self.color,
        )

    def as_flags(self) -> tuple[str, ...]:
        """The flags that have a child process, whose stderr is a pipe, log as this process does."""
        settings = self.resolved()
        return (f"-v={settings.verbosity}", f"--logging-format={settings.format}", f"--log-color={settings.color}")


def level_of(verbosity: int) -> int:
    """The logging level of a klog verbosity."""
    return max(1, logging.INFO - verbosity)


def verbose(logger: logging.Logger, verbosity: int, message: str, *args: object, **extra: object) -> None:
    """Log at a klog verbosity; `extra` becomes key="value" behind the message."""
    level = level_of(verbosity)
    if logger.isEnabledFor(level):
        logger.log(level, message, *args, extra=extra, stacklevel=2)


_handler: logging.Handler | None = None
_settings = LogSettings()
_label = ""


def configure(settings: LogSettings, handler: logging.Handler | None = None) -> None:
    """Set logging up for the process, or anew: to `handler`, or stderr. `warnings` are logged too."""
    global _handler, _settings, _label
    _settings = settings
    _label = os.environ.pop(LABEL, _label)  # it is ours, and not for what we start
    settings = settings.resolved()
    handler = handler or logging.StreamHandler()
    handler.setFormatter(_formatter(settings))
    root = logging.getLogger()
    for other in list(root.handlers):
        # Ours of before, or one by which a plugin's import would have every line written twice.
        if other is _handler or type(other) is logging.StreamHandler:
            root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level_of(settings.verbosity))
    logging.captureWarnings(True)
    _handler = handler


def current() -> LogSettings:
    """What logging was set up with."""
    return _settings


def _formatter(settings: LogSettings) -> logging.Formatter:
    if settings.format == "json":
        return JSONFormatter()
    if settings.format == "klog":
        return KlogFormatter()
    return HumanFormatter(color=settings.color == "always", label=_label)


_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_TOKEN = r"[\w.~+/=-]"
_BEARER = re.compile(rf"\b(bearer\s+)(?!tokens?(?!{_TOKEN})){_TOKEN}+", re.IGNORECASE)  # not the words "bearer token"


def redacted(text: str) -> str:
    """`text` without the bearer tokens in it."""
    return _BEARER.sub(r"\1<redacted>", text)


def _pairs(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """What was logged as `extra`."""
    for key, value in record.__dict__.items():
        if key not in _STANDARD:
            yield key, value


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(self.line(record))

    def line(self, record: logging.LogRecord) -> str:
        raise NotImplementedError

    def trace(self, record: logging.LogRecord) -> str:
        """The traceback and stack that belong to `record`, or an empty text."""
        parts = []
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            parts.append(record.exc_text)
        if record.stack_info:
            parts.append(record.stack_info)
        return "\n".join(parts)


_COLORS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_color_of: dict[str, int] = {}


def painted(name: str) -> str:
    """`name` in a colour of its own: no two servers of a process share one while there are enough."""
    color = _color_of.setdefault(name, _COLORS[len(_color_of) % len(_COLORS)])
    return f"\x1b[{color}m{name}\x1b[0m"


class HumanFormatter(_Formatter):
    """`apiserver | 05:14:00.123 INFO  message  key=value`, and the name again on each further line."""

    def __init__(self, *, color: bool, label: str = "") -> None:
        super().__init__()
        self._color = color
        self._label = label

    def line(self, record: logging.LogRecord) -> str:
        when = f"{time.strftime('%H:%M:%S', time.localtime(record.created))}.{int(record.created % 1 * 1000):03d}"
        level = record.levelname if record.levelno >= logging.INFO else f"V{logging.INFO - record.levelno}"
        level = f"{level[:5]:<5}"
        blank = " " * (len(when) + len(level) + 2)
        name = server_name.get()
        prefix = f"{name} | " if name and name != self._label else ""
        if self._color:
            tint = 31 if record.levelno >= logging.ERROR else 33 if record.levelno >= logging.WARNING else 2
            when, level = f"\x1b[2m{when}\x1b[0m", f"\x1b[{tint}m{level}\x1b[0m"
            prefix = f"{painted(name)} | " if prefix else ""
        text = record.getMessage() + "".join(f"  {key}={_plain(value)}" for key, value in _pairs(record))
        trace = self.trace(record)
        first, *further = (f"{text}\n{trace}" if trace else text).splitlines() or [""]
        return "\n".join([f"{prefix}{when} {level} {first}", *(f"{prefix}{blank}{line}" for line in further)])


def _plain(value: object) -> str:
    text = str(value)
    return quoted(text) if not text or " " in text or not text.isprintable() else text


_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


def quoted(text: str) -> str:
    """`text` as Go's strconv.Quote has it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_ESCAPES.get(char) or (char if char.isprintable() else _escaped(char)) for char in text) + '"'


def _escaped(char: str) -> str:
    point = ord(char)
    if point < 0x80:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


class KlogFormatter(_Formatter):
    """`I1122 05:14:00.123456   12345 file.py:10] "message" server="apiserver" key="value"`.

    A value of many lines stands between `=<` and ` >`, indented. Source: k8s.io/klog/v2, internal/serialize.
    """

    def line(self, record: logging.LogRecord) -> str:
        severity = "IWEF"[min(max(record.levelno - logging.INFO, 0) // 10, 3)]
        when = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        when += f".{int(record.created % 1 * 1e6):06d}"
        head = f"{severity}{when} {record.process or 0:7d} {record.filename}:{record.lineno}]"
        parts = [head, quoted(record.getMessage())]
        if name := server_name.get():
            parts.append(f"server={quoted(name)}")
        parts.extend(key + _klog_value(value) for key, value in _pairs(record))
        if record.exc_info and record.exc_info[1] is not None:
            parts.append(f"err{_klog_value(str(record.exc_info[1]))}")
        if trace := self.trace(record):
            parts.append(f"traceback{_klog_value(trace)}")
        return " ".join(parts)


def _klog_value(value: object) -> str:
    if value is None:
        return "=<nil>"
    if isinstance(value, bool):
        return f"={str(value).lower()}"
    if isinstance(value, int | float):
        return f"={value}"
    if isinstance(value, dict | list | tuple):
        import json

        return f"={json.dumps(value, separators=(',', ':'), default=str)}"
    text = str(value)
    if "\n" not in text:
        return f"={quoted(text)}"
    return "=<\n\t" + text.removesuffix("\n").replace("\n", "\n\t") + "\n >"


class JSONFormatter(_Formatter):
    """One object a line, with the fields of Kubernetes' own: `ts` in milliseconds, `caller`, `msg`, `v` or `err`.

    `level` is ours and there from warnings on, which Kubernetes' cannot be told from others by.
    Source: k8s.io/component-base/logs/json.
    """

    def line(self, record: logging.LogRecord) -> str:
        import json

        entry: dict[str, Any] = {
            "ts": round(record.created * 1000, 3),
            "caller": f"{record.filename}:{record.lineno}",
            "msg": record.getMessage(),
        }
        if record.levelno < logging.ERROR:
            entry["v"] = max(0, logging.INFO - record.levelno)
        if record.levelno >= logging.WARNING:
            entry["level"] = record.levelname.lower()
        if name := server_name.get():
            entry["server"] = name
        for key, value in _pairs(record):
            entry.setdefault(key, value)
        if record.exc_info and record.exc_info[1] is not None:
            entry["err"] = str(record.exc_info[1])
        if trace := self.trace(record):
            entry["traceback"] = trace
        return json.dumps(entry, separators=(",", ":"), default=str)
