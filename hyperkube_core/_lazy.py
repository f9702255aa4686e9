"""The launcher as a Typer group, whose commands come into being when they are asked for.

It serves what Typer is good at: the launcher's own commands, the subcommands that a server's plugin wrote with Typer,
and completion. A server's flags are built from its options; its command line is read by `_flags` whichever way it
came. Importing Typer takes about as long as all else that starting a server does, so a server that is just run does
not come through here.

Typer carries its own Click, whose names are private: only `typer` and `typer.core` are used.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_group, get_install_completion_arguments

from hyperkube_core._commandline import LOG_FLAGS, SERVER_FLAGS, VERSION_FLAG, help_flag, reads_itself
from hyperkube_core._errors import (
    CommandEnded,
    HyperkubeError,
    PluginError,
    PluginLoadError,
    ServerNotFound,
    UnknownFlag,
    UsageError,
)
from hyperkube_core._flags import Flag, Parsed, near
from hyperkube_core._options import Option, options_of
from hyperkube_core._owncommands import COMMANDS
from hyperkube_core._values import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hyperkube_core._launcher import HyperKube
    from hyperkube_core._server import Server

_REFUSED: type[Any] = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")
"""What all that Typer raises about a command line derives from; it has had no public name in every version."""

_NO_CONTEXT: Any = None  # groups of Typer commands, and those here, find theirs without one

PLAIN: dict[str, Any] = {"rich_markup_mode": None}
"""Typer imports rich for whatever it prints unless it is told not to."""


SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
"""Of the launcher's own commands."""


def new_app() -> typer.Typer:
    """An application for one of the launcher's own commands."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class LauncherGroup(TyperGroup):
    """`hk`: its own commands, and a command for each server."""

    def __init__(self, launcher: HyperKube, before: Parsed | None = None) -> None:
        completion = [*get_install_completion_arguments()]
        flags = [_from_flag(flag) for flag in launcher.flags() if not flag.flag.endswith("-completion")]
        super().__init__(name=launcher.name, params=[*flags, *completion], add_help_option=False, **PLAIN)
        self.launcher = launcher
        self.before = before or Parsed()

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *self.launcher.names(), *self.launcher.tool_names()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name == "alpha":
            return AlphaGroup(self.launcher)
        if cmd_name in COMMANDS:
            return own_command(self.launcher, cmd_name, self.before)
        command = server_command(self.launcher, cmd_name)
        if command is None:
            return tool_command(self.launcher, cmd_name)
        return None if command.server.alpha else command


class AlphaGroup(TyperGroup):
    """`hk alpha`: a command for each server whose command line may still change."""

    def __init__(self, launcher: HyperKube) -> None:
        super().__init__(name="alpha", help="Servers whose command line may still change.", **PLAIN)
        self.launcher = launcher

    def list_commands(self, ctx: Any) -> list[str]:
        return [item.name for item in self.launcher.servers() if item.server is not None and item.server.alpha]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = server_command(self.launcher, cmd_name)
        return command if command is not None and command.server.alpha else None


class _ServerParts:
    """What a server's command is made of, with or without subcommands."""

    launcher: HyperKube
    server: Server

    def parameters(self) -> list[Any]:
        own: list[Flag] = [help_flag(f"{self.launcher.name} {self.server.name}"), VERSION_FLAG]
        options: Sequence[Option] = ()
        if not reads_itself(self.server):
            own += LOG_FLAGS
            options_class = self.launcher.options_class(self.server)
            if options_class is not None:
                options = options_of(options_class)
                own += SERVER_FLAGS
        taken = {option.flag for option in options}
        return [
            *(_from_option(option) for option in options if not option.hidden),
            *(_from_flag(flag) for flag in own if flag.flag not in taken),
        ]

    def call(self, ctx: Any) -> None:
        self.launcher.call(self.server.name, ctx.args, called=ctx.command_path, alpha=self.server.alpha)


class ServerCommand(_ServerParts, TyperCommand):
    """`hk SERVER`."""

    def __init__(self, launcher: HyperKube, server: Server) -> None:
        super().__init__(server.name, help=server.long, short_help=server.summary, add_help_option=False, **PLAIN)
        self.launcher = launcher
        self.server = server

    def get_params(self, ctx: Any) -> list[Any]:
        return self.parameters()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # completion: Typer finds out where the cursor is
            return super().parse_args(ctx, args)
        ctx.args = list(args)
        return ctx.args  # type: ignore[no-any-return]

    def invoke(self, ctx: Any) -> None:
        self.call(ctx)


class ServerGroup(_ServerParts, TyperGroup):
    """`hk SERVER` for a server that has subcommands."""

    def __init__(self, launcher: HyperKube, server: Server) -> None:
        group = typer_group(server)
        super().__init__(
            name=server.name,
            commands=dict(group.commands),
            help=server.long,
            short_help=server.summary,
            add_help_option=False,
            invoke_without_command=True,
            **PLAIN,
        )
        self.launcher = launcher
        self.server = server

    def get_params(self, ctx: Any) -> list[Any]:
        return self.parameters()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        ctx.args = list(args)
        return ctx.args  # type: ignore[no-any-return]

    def invoke(self, ctx: Any) -> None:
        self.call(ctx)


def server_command(launcher: HyperKube, name: str) -> ServerCommand | ServerGroup | None:
    """The command of the server `name`; None if there is no such server or it is broken."""
    try:
        server = launcher.server(name)
        return ServerGroup(launcher, server) if server.commands else ServerCommand(launcher, server)
    except (ServerNotFound, PluginError):
        return None


def own_command(launcher: HyperKube, name: str, before: Parsed) -> Any:
    """One of the launcher's own commands, whose module is imported for it alone."""
    from importlib import import_module

    command: Callable[[HyperKube, Parsed], Any] = import_module(f"hyperkube_core._commands.{name}").command
    return command(launcher, before)


def tool_command(launcher: HyperKube, name: str) -> TyperGroup | None:
    """The command of the tool `name`; None if there is no such tool or it is broken."""
    try:
        tool = launcher.find_tool(name)
        return application(tool.app, name) if tool is not None else None
    except PluginError:
        return None


def typer_group(server: Server) -> TyperGroup:
    """The subcommands of `server`, from the Typer application that its description names. Raises PluginLoadError."""
    return application(server.commands or "", server.name)


def application(target: str, name: str) -> TyperGroup:
    """The Typer application that is imported from `target`, as the command `name`. Raises PluginLoadError."""
    from hyperkube_core._registry import import_to_describe

    app = import_to_describe(target, name)
    if not isinstance(app, typer.Typer):
        raise PluginLoadError(name, f"{target} is no Typer application")
    group = get_group(app)
    group.name = name  # Typer has no name for an application that is nobody's part
    return group


def describe_commands(server: Server) -> list[tuple[str, str]]:
    """The names of a server's subcommands, and what each does in a line."""
    return [(name, command.get_short_help_str()) for name, command in typer_group(server).commands.items()]


def _from_option(option: Option) -> TyperOption:
    choices = list(map(str, option.choices)) or (["true", "false"] if option.kind is KINDS["bool"] else [])
    return _parameter(option.flag, option.short, option.field, option.help, option.optional_value is not None, choices)


def _from_flag(flag: Flag) -> TyperOption:
    field = flag.flag.replace("-", "_")
    return _parameter(flag.flag, flag.short, field, flag.help, flag.optional_value is not None, list(flag.choices))


def _parameter(flag: str, short: str, field: str, help: str, alone: bool, choices: list[str]) -> TyperOption:
    """A flag as Typer completes it. Nothing is converted by it, and flags may be repeated."""

    def complete(ctx: Any, args: list[str], incomplete: str) -> list[str]:
        return choices

    names = [f"--{flag}", *([f"-{short}"] if short and short != flag else [])]
    if short and short == flag:  # `-v` is `--v` too
        names = [f"--{flag}", f"-{short}"]
    return TyperOption(
        param_decls=[*names, field],
        help=help,
        is_flag=alone or None,
        autocompletion=complete if choices and not alone else None,
    )


def run_command(group: TyperGroup, args: Sequence[str], called: str, *, obj: Any = None, output: Any = None) -> None:
    """Run `group` on a Go-style command line; `called` is how the group was reached.

    Raises UsageError and UnknownFlag for what Typer refuses, and CommandEnded for a status other than 0.
    """
    redirected = contextlib.redirect_stdout(output) if output is not None else contextlib.nullcontext()
    with redirected, _translated(), group.make_context(called, go_style(group, args), obj=obj) as ctx:
        group.invoke(ctx)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Typer's exceptions as ours."""
    try:
        yield
    except typer.Exit as exc:
        if exc.exit_code:
            raise CommandEnded(exc.exit_code) from None
    except typer.Abort:
        raise CommandEnded(130, "aborted") from None
    except _REFUSED as exc:
        option = getattr(exc, "option_name", None)
        if option is not None and type(exc).__name__ == "NoSuchOption":
            raise UnknownFlag(option, tuple(getattr(exc, "possibilities", None) or ())) from None
        message = exc.format_message()
        if exc.exit_code == 2:
            raise UsageError(message) from exc
        raise HyperkubeError(message) from exc


def go_style(group: TyperGroup, args: Sequence[str]) -> list[str]:
    """`args` as Typer wants them: `_` becomes `-` in flags, `--bool=false` and `-v=2` are taken apart.

    Raises UsageError for a subcommand that there isn't.
    """
    command: Any = group
    result: list[str] = []
    position = 0
    while position < len(args):
        arg = args[position]
        position += 1
        if arg == "--":
            return [*result, *args[position - 1 :]]
        if len(arg) < 2 or arg[0] != "-":
            result.append(arg)
            if isinstance(command, TyperGroup):
                command = _subcommand(command, arg)
                if not _takes_all(command):
                    continue
            if _takes_all(command) or not command.context_settings.get("allow_interspersed_args", True):
                return [*result, *args[position:]]
            continue
        written, equals, text = arg.partition("=")
        if written.startswith("--"):
            written = "--" + written[2:].replace("_", "-")
        parameter = _find(command, written)
        if parameter is None:
            result.append(written + equals + text)
        elif not parameter.is_flag:
            result += [written, text] if equals else [written, *args[position : position + 1]]
            position += not equals
        elif not equals or _bool(text, written):
            result.append(written)
        elif parameter.secondary_opts:
            result.append(parameter.secondary_opts[0])
    return result


def _bool(text: str, written: str) -> bool:
    try:
        return bool(KINDS["bool"].parse(text))
    except ValueError as exc:
        raise UsageError(f"flag {written}: invalid value: {exc}") from None


def _subcommand(group: TyperGroup, name: str) -> Any:
    command = group.get_command(_NO_CONTEXT, name)
    if command is None:
        meant = near(name, group.list_commands(_NO_CONTEXT))
        hint = f"; did you mean {meant[0]!r}?" if meant else ""
        raise UsageError(f'unknown command "{name}" for "{group.name}"{hint}')
    return command


def _takes_all(command: Any) -> bool:
    """Whether `command` reads what follows it itself."""
    return isinstance(command, _ServerParts) or bool(command.context_settings.get("ignore_unknown_options"))


def _find(command: Any, written: str) -> Any:
    for parameter in command.params:
        if written in parameter.opts or written in parameter.secondary_opts:
            return parameter if isinstance(parameter, TyperOption) else None
    return None


def complete(launcher: HyperKube, linked: str | None) -> None:
    """Answer the shell, which asks by environment variables what may stand at the cursor; ends the process."""
    root: Any = LauncherGroup(launcher)  # which also makes Typer's shells known
    if linked is not None:
        root = server_command(launcher, linked)
    if root is not None:
        root.main(args=[], prog_name=linked or launcher.name)


SHELLS = ("bash", "zsh", "fish")


def show_completion(launcher: HyperKube, shell: str, *, install: bool, linked: str | None = None) -> None:
    """Print or install what makes `shell` complete the launcher, or a soft link of a server's name."""
    from typer import completion

    name = linked or launcher.name
    shell = shell or _own_shell()
    if shell not in SHELLS:
        raise UsageError(f"completion is for {', '.join(SHELLS)}: name one of them behind the flag")
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    if install:
        with _translated():
            _, path = completion.install(  # type: ignore[attr-defined]  # imported there, and used so for years
                shell=shell, prog_name=name, complete_var=variable
            )
        launcher.print(f"{shell} completes {name} by {path}, in shells that start from now on.\n")
    else:
        script = completion.get_completion_script(  # type: ignore[attr-defined]
            prog_name=name, complete_var=variable, shell=shell
        )
        launcher.print(f"{script}\n")


def _own_shell() -> str:
    """The shell that the launcher was called from, by its name; "" if that cannot be told."""
    import shellingham  # type: ignore[import-untyped]  # which Typer depends on

    try:
        found: str = shellingham.detect_shell()[0]
    except shellingham.ShellDetectionFailure:
        return ""
    return found
