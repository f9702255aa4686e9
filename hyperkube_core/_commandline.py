"""The command line of one server: its flags and the launcher's, read together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hyperkube_core._errors import DescriptionError, SettingsError, UsageError
from hyperkube_core._flags import Flag, FlagLike, FlagSet, Parsed, near
from hyperkube_core._options import Option, OptionsClassError, foreign_flags_of, options_of
from hyperkube_core._server import Command, Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyperkube_core._logging import LogSettings
    from hyperkube_core._settings import Settings

LOG_FLAGS = (
    Flag("v", "v", metavar="N", help="how much is logged: 0 the least, 2 a good start, 10 everything"),
    Flag(
        "logging-format",
        metavar="FORMAT",
        help="auto, human, text (as Kubernetes logs) or json",
        choices=("auto", "human", "text", "json"),
    ),
    Flag("log-color", metavar="WHEN", help="auto, always or never", choices=("auto", "always", "never")),
)
"""Understood before a server's name and among its flags."""


def help_flag(name: str) -> Flag:
    return Flag("help", "h", "true", help=f"help for {name}")


VERSION_FLAG = Flag("version", "", "true", help="print the version and end")

SERVER_FLAGS = (
    Flag("config", metavar="FILE", help="read settings from a JSON, TOML or YAML file"),
    Flag(
        "print-config",
        optional_value="table",
        metavar="[=FORMAT]",
        help="print each setting and where it is from, as table, json or yaml, and end",
        choices=("table", "json", "yaml"),
    ),
)

PRINT_FORMATS = ("table", "json", "yaml")


@dataclass(slots=True)
class CommandLine:
    """What was asked of a server."""

    server: Server
    args: tuple[str, ...]
    """As they were given, without launcher's flags before the server's name."""
    parsed: Parsed
    options_class: type[Any] | None = None
    settings: Settings | None = None
    rest: list[str] = field(default_factory=list)
    """Words that are no flags: a subcommand and what follows it."""

    @property
    def wants_help(self) -> bool:
        return _is_true(self.parsed.last("help"))

    @property
    def wants_version(self) -> bool:
        return _is_true(self.parsed.last("version"))

    @property
    def print_format(self) -> str | None:
        return self.parsed.last("print-config")


def _is_true(text: str | None) -> bool:
    return text is not None and text.lower() not in ("false", "f", "0", "")


class _Foreign(NamedTuple):
    """A foreign flag as the reader of flags sees it."""

    flag: str
    short: str
    optional_value: str | None


def check_flags(options_class: type[Any]) -> None:
    """Raises OptionsClassError unless the class can be a server's options."""
    taken = {"help", "version", "print-config"} & {option.flag for option in options_of(options_class)}
    if taken:
        raise OptionsClassError(f"{options_class.__qualname__}: the flag --{min(taken)} is the launcher's")


def flag_set(server: Server, options_class: type[Any] | None) -> FlagSet:
    """Every flag that may follow the server's name."""
    options: Sequence[Option] = options_of(options_class) if options_class is not None else ()
    mine: tuple[FlagLike, ...] = (help_flag(""), VERSION_FLAG, *LOG_FLAGS)
    if options_class is not None:
        mine += SERVER_FLAGS

    def foreign() -> dict[str, FlagLike]:
        return {
            name: _Foreign(name, item.short, None if item.takes_value else "true")
            for name, item in foreign_flags_of(options_class).items()
        }

    return FlagSet((*options, *mine), foreign)


def read(
    server: Server,
    args: Sequence[str],
    *,
    options_class: type[Any] | None,
    environment: Mapping[str, str],
    prefix: str,
    called: str,
) -> CommandLine:
    """Read `args`, which follow the name of `server`; `prefix` begins its variables, `called` what was typed.

    Raises UsageError, SettingsError, and DescriptionError for a default that is wrong. Where help or the version is
    asked for, settings are not looked at.
    """
    if reads_itself(server):
        return CommandLine(server, tuple(args), _asks(server, args))
    flags = flag_set(server, options_class)
    parsed = flags.parse(args, interspersed=server.commands is None)
    line = CommandLine(server, tuple(args), parsed, options_class, rest=parsed.rest)
    if line.wants_help or line.wants_version:
        return line
    if parsed.rest and server.commands is None:
        words = ", ".join(f'"{word}"' for word in parsed.rest)
        raise UsageError(f'"{called}" does not take any arguments, got [{words}]')
    if line.print_format is not None and line.print_format not in PRINT_FORMATS:
        formats = ", ".join(PRINT_FORMATS)
        raise SettingsError("print-config", "flag --print-config", f'"{line.print_format}" is none of {formats}')
    if options_class is not None:
        line.settings = _settle(server, parsed, options_class, environment, prefix)
    return line


def reads_itself(server: Server) -> bool:
    """Whether the server gets its command line as it is."""
    return server.options is None and server.commands is None


def _asks(server: Server, args: Sequence[str]) -> Parsed:
    """What can be known of a command line that its server reads itself: whether it asks for help or the version.

    Other programs have a help and a version of their own.
    """
    if isinstance(server.run, Command):
        return Parsed()
    own = args[: args.index("--")] if "--" in args else args
    return FlagSet((help_flag(""), VERSION_FLAG)).parse([arg for arg in own if arg in ("-h", "--help", "--version")])


def _settle(
    server: Server,
    parsed: Parsed,
    options_class: type[Any],
    environment: Mapping[str, str],
    prefix: str,
) -> Settings:
    from hyperkube_core._settings import BadDefault, resolve

    own = {option.flag for option in options_of(options_class)}
    config: str | None = None
    if "config" not in own:
        config = parsed.last("config")
        if config is None:
            config = environment.get(f"{prefix}CONFIG") or None
    path = None
    if config:
        from pathlib import Path  # 5 ms that most calls do not need

        path = Path(config)
    mine = {"help", "version", "v", "logging-format", "log-color", "config", "print-config"} - own
    try:
        return resolve(
            options_class,
            given=[item for item in parsed.given if item.flag not in mine],
            defaults=server.defaults,
            environment=environment,
            prefix=prefix,
            config=path,
        )
    except BadDefault as exc:
        raise DescriptionError(server.name, str(exc)) from exc


def log_settings(given: Sequence[Parsed], environment: Mapping[str, str], prefix: str) -> LogSettings:
    """How to log: flags, the later of `given` first, then the variables `HK_V`, `HK_LOGGING_FORMAT`, `HK_LOG_COLOR`."""

    def find(flag: str) -> tuple[str, str] | None:
        for parsed in reversed(given):
            text = parsed.last(flag)
            if text is not None:
                return text, f"flag --{flag}" if len(flag) > 1 else f"flag -{flag}"
        variable = prefix + flag.upper().replace("-", "_")
        text = environment.get(variable)
        return (text, f"environment {variable}") if text else None

    values: dict[str, Any] = {}
    verbosity, form, color = find("v"), find("logging-format"), find("log-color")
    if verbosity:
        if not verbosity[0].isdecimal():
            raise SettingsError("v", verbosity[1], f'invalid value: "{verbosity[0]}" is not a whole number from 0 on')
        values["verbosity"] = int(verbosity[0])
    if form:
        # `text` is what Kubernetes calls klog's format.
        values["format"] = {"text": "klog"}.get(form[0], form[0])
        _check(values["format"], ("auto", "human", "klog", "json"), form[1])
    if color:
        values["color"] = color[0]
        _check(color[0], ("auto", "always", "never"), color[1])
    from hyperkube_core._logging import LogSettings  # `logging` comes with it

    return LogSettings(**values)


def _check(value: str, choices: tuple[str, ...], source: str) -> None:
    if value not in choices:
        meant = near(value, choices)
        hint = f"; did you mean {meant[0]}?" if meant else ""
        shown = ", ".join("text" if choice == "klog" else choice for choice in choices)
        raise SettingsError(source.split()[-1].lstrip("-"), source, f'"{value}" is none of {shown}{hint}')
