"""The texts of `--help`, in the form that hyperkube gave them; see `HyperKube` for when they are shown."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hyperkube_core._flags import Flag
    from hyperkube_core._options import ForeignFlag, Option
    from hyperkube_core._registry import Listed
    from hyperkube_core._server import Server

WIDTH = 80


def wrap(text: str, indent: str = "", width: int = WIDTH) -> str:
    """`text` in lines of at most `width`, `indent` included; a blank line begins a paragraph, indented lines stay.

    A word longer than that has a line of its own. Source: what Go's go/doc makes of comments.
    """
    lines: list[str] = []
    words: list[str] = []

    def flush() -> None:
        line = ""
        for word in words:
            if line and len(indent) + len(line) + 1 + len(word) > width:
                lines.append(indent + line)
                line = word
            else:
                line = f"{line} {word}" if line else word
        if line:
            lines.append(indent + line)
        words.clear()

    for raw in text.strip("\n").splitlines():
        if raw[:1] in (" ", "\t") and raw.strip():
            flush()
            lines.append(indent + raw.rstrip())
        elif raw.strip():
            words += raw.split()
        else:
            flush()
            if lines and lines[-1]:
                lines.append("")
    flush()
    return "\n".join(lines).rstrip()


def launcher_help(
    name: str,
    long: str,
    listed: Iterable[Listed],
    commands: Sequence[tuple[str, str]],
    flags: Iterable[Flag],
) -> str:
    """What `hk --help` says."""
    listed = _joined(listed)
    regular = [item for item in listed if item.server is None or not item.server.alpha]
    alpha = [item for item in listed if item.server is not None and item.server.alpha]
    parts = [wrap(long), "Usage", f"  {name} <server> [flags]", "Servers"]
    parts += [_entry(name, item) for item in regular] or [_none_installed(name)]
    if alpha:
        parts += [f"Alpha servers, called as '{name} alpha <server> [flags]'"]
        parts += [_entry(name, item) for item in alpha]
    parts += ["Commands", _table(commands), "Flags", _flag_lines(flags)]
    calls = [
        f"Call '{name} --make-symlinks' to create symlinks for each server in the local directory.",
        f"Call '{name} <server> --help' for help on a specific server.",
    ]
    return "\n\n".join([*parts, "\n".join(calls)]) + "\n"


def _joined(listed: Iterable[Listed]) -> list[Listed]:
    """`listed`, with the names that one plugin spoils for one reason as one entry."""
    result: list[Listed] = []
    for item in listed:
        if result and _broken_by(item) is not None and _broken_by(item) == _broken_by(result[-1]):
            result[-1] = result[-1]._replace(name=f"{result[-1].name}, {item.name}")
        else:
            result.append(item)
    return result


def _broken_by(item: Listed) -> tuple[str, str, str] | None:
    """The plugin that spoils `item` and its reason; None for a server that works, or was added in code."""
    if item.error is None or item.record is None:
        return None
    return item.record.location, item.record.target, item.error.reason


def _none_installed(name: str) -> str:
    return wrap(f"None is installed. Installing a package such as hyperkube-apiserver adds one to {name}.", "    ")


def _entry(name: str, item: Listed) -> str:
    if item.server is None:
        return f"  {item.name}\n" + wrap(f"BROKEN: {item.error}. '{name} plugins' lists what is installed.", "    ")
    text = wrap(item.server.long or item.server.summary, "    ")
    return f"  {item.name}\n{text}" if text else f"  {item.name}"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    width = max((len(left) for left, _ in rows), default=0)
    return "\n".join(f"  {left:<{width}}   {right}" for left, right in rows)


def _flag_lines(flags: Iterable[Flag]) -> str:
    return _table([(_spelling(flag), flag.help) for flag in flags])


def _spelling(flag: Flag) -> str:
    long = f"--{flag.flag}" + (f" {flag.metavar}" if flag.metavar else "")
    return f"-{flag.short}, {long}" if flag.short else f"    {long}"


def server_usage(called: str, server: Server, takes_flags: bool = True) -> str:
    """The line or two that say how `server` is called, where `called` is what was typed to reach it."""
    lines = [f"  {called} [flags]" if takes_flags else f"  {called} [arguments]"]
    if server.commands:
        lines.append(f"  {called} <command> [flags]")
    return "Usage:\n" + "\n".join(lines)


def server_help(
    called: str,
    server: Server,
    options: Sequence[Option] | None,
    flags: Iterable[Flag],
    *,
    commands: Sequence[tuple[str, str]] = (),
    foreign: Iterable[ForeignFlag] = (),
) -> str:
    """What `hk SERVER --help` says; `options` is None for a server that reads its command line itself."""
    parts = [wrap(server.long or server.summary)] if server.long or server.summary else []
    parts.append(server_usage(called, server, takes_flags=options is not None))
    if commands:
        parts.append("Available Commands:\n" + _table(commands))
    if options is not None:
        parts.append("Available Flags:")
        parts += _sections(server, options)
    parts.append((f"{'Flags of every server'}:\n" if options else "") + _flag_lines(flags))
    treatments = [item.treatment for item in foreign]
    if treatments:
        warned, refused = treatments.count("warned"), treatments.count("refused")
        parts.append(
            wrap(
                f"Flags known besides: {warned} that do nothing here and are accepted with a warning, {refused} that"
                " are refused; each says why."
            )
        )
    if server.aliases:
        parts.append(f"Other names: {', '.join(server.aliases)}")
    return "\n\n".join(parts) + "\n"


def _sections(server: Server, options: Sequence[Option]) -> list[str]:
    sections: dict[str, list[str]] = {}
    for option in options:
        if not option.hidden:
            sections.setdefault(option.section, []).append(_option_text(option, server))
    return [
        (f"{section}:\n" if section else "") + "\n".join(texts)
        for section, texts in sorted(sections.items(), key=lambda item: item[0] != "")
    ]


def _option_text(option: Option, server: Server) -> str:
    """As Kubernetes prints a flag: its name and sort on one line, what it does below."""
    default: Any = server.defaults.get(option.field, option.default)
    sort = option.metavar or ("" if option.kind.name == "bool" else option.kind.name)
    line = f"  -{option.short}, " if option.short else "      "
    line += f"--{option.flag}" + (f" {sort}" if sort else "")
    text = option.help
    if option.choices:
        text += f" One of {', '.join(map(str, option.choices))}."
    if default is dataclasses.MISSING:
        text += " Must be given."
    elif default not in (None, "", False, (), {}):
        shown = default if isinstance(default, str) else option.show(default)
        text += f" (default {shown})" if not option.secret else ""
    return f"{line}\n{wrap(text.strip(), '                ')}" if text else line


def alpha_help(name: str, listed: Iterable[Listed]) -> str:
    """What `hk alpha --help` says."""
    servers = [item for item in listed if item.server is not None and item.server.alpha]
    parts = ["Usage", f"  {name} alpha <server> [flags]", "Alpha servers"]
    parts += [_entry(name, item) for item in servers] or ["    None is installed."]
    return "\n\n".join(parts) + "\n"
