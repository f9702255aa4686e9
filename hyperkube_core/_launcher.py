"""The HyperKube object: one command that becomes any server that is installed beside it.

What stands before the first word that is no flag is the launcher's; that word is a command of the launcher's own
(`run`, `plugins`, `doctor`, `alpha`) or a server; what follows belongs to it. Called by another name than its own,
through a soft link, the launcher is the server of that name.

Only what a call needs is imported: a server that is run needs neither Typer nor rich, and no plugin but its own.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from hyperkube_core._commandline import (
    LOG_FLAGS,
    VERSION_FLAG,
    CommandLine,
    check_flags,
    help_flag,
    log_settings,
    reads_itself,
)
from hyperkube_core._discovery import GROUP
from hyperkube_core._errors import (
    DescriptionError,
    HyperkubeError,
    Interrupted,
    PluginError,
    ServerNotFound,
    UnknownFlag,
    UsageError,
)
from hyperkube_core._flags import Flag, FlagSet, Parsed, near
from hyperkube_core._options import OptionsClassError
from hyperkube_core._owncommands import ALPHA_WARNING, COMMANDS, RESERVED
from hyperkube_core._registry import Listed, Registry, import_from
from hyperkube_core._server import Description, Invocation, Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from logging import Handler

    from hyperkube_core._logging import LogSettings
    from hyperkube_core._offers import Tool

LONG = (
    "This is an all-in-one binary that can run any of the servers that are installed beside it: Kubernetes' own, and"
    " those of others."
)


class HyperKube:
    """A launcher: its name, what its help says, and the entry-point group that its servers are found in.

        HyperKube("km", long="This is an all-in-one binary …", group="km.servers").run_to_exit()

    `version` is what `--version` prints, by default hyperkube-core's. Texts go to `output`, by default help and lists
    to the standard output and errors to the standard error.
    """

    def __init__(
        self,
        name: str = "hk",
        *,
        long: str = LONG,
        group: str = GROUP,
        version: str | None = None,
        output: TextIO | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.long = long
        self.group = group
        self.version = version
        self.output = output
        self.environment: Mapping[str, str] = os.environ if environment is None else environment
        self._registry = Registry(group, RESERVED, self._discover)
        self._program: tuple[str, ...] | None = None
        self._warned: set[str] = set()
        self._pending: list[str] | None = []  # warnings to give once logs are set up; None when they are
        self._usage = self._launcher_help  # what to show with a usage error

    def _discover(self, group: str) -> Any:
        from hyperkube_core._discovery import discover

        return discover(group, environment=self.environment)

    # What third parties and running servers use.

    def add_server(self, server: Description) -> None:
        """Offer a server that no installed plugin brings. Raises DescriptionError, NameClash."""
        self._registry.add(server)

    def find_server(self, name: str) -> Server | None:
        """The server of that name or alias; None if there is none, or its plugin is broken."""
        try:
            return self._registry.find(name)
        except (ServerNotFound, PluginError):
            return None

    def server(self, name: str) -> Server:
        """The server of that name or alias; raises ServerNotFound, PluginError."""
        return self._registry.find(name)

    def servers(self) -> Iterator[Listed]:
        """Every server with its description, or the reason why it cannot be used; imports every plugin."""
        return self._registry.listing()

    def names(self) -> list[str]:
        """Every name that a server can be called by; imports nothing."""
        return self._registry.names()

    def parse(self, name: str, args: Sequence[str]) -> Invocation:
        """The server `name` with its command line parsed.

        Raises ServerNotFound, UsageError, SettingsError, PluginError.
        """
        server = self._registry.find(name)
        return self.invocation(self.read(server, args, f"{self.name} {name}"))

    @property
    def program(self) -> tuple[str, ...]:
        """The command that starts this launcher again."""
        if self._program is None:
            self._program = _own_program()
        return self._program

    @program.setter
    def program(self, program: Sequence[str]) -> None:
        self._program = tuple(program)

    def run(self, argv: Sequence[str] | None = None) -> None:
        """Do what `argv` (its first word being the program; by default `sys.argv`) says.

        Raises the HyperkubeError that ends it, after having said so.
        """
        argv = list(sys.argv if argv is None else argv) or [self.name]
        self._usage = self._launcher_help
        try:
            self._dispatch(argv)
        except HyperkubeError as exc:
            self._report(exc)
            raise

    def run_to_exit(self, argv: Sequence[str] | None = None) -> NoReturn:
        """As `run`, and end the process with the status that `_errors` documents."""
        try:
            self.run(argv)
            _flush()
        except HyperkubeError as exc:
            if isinstance(exc, Interrupted):  # a thread that ignored the request to stop would keep the process alive
                from hyperkube_core._loop import end_process

                end_process(exc.exit_code)
            sys.exit(exc.exit_code)
        except KeyboardInterrupt:
            sys.exit(130)
        except BrokenPipeError:
            # Whoever read the output has seen enough; keep the interpreter from flushing into the closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(1)
        sys.exit(0)

    # From the command line to what it asks for.

    def _dispatch(self, argv: Sequence[str]) -> None:
        linked = self._linked_name(argv[0])
        if linked is not None:
            if f"_{_shell_name(linked)}_COMPLETE" in self.environment:
                self._complete(linked)
            elif len(argv) > 1 and argv[1].partition("=")[0] in ("--show-completion", "--install-completion"):
                self._show_completion(argv[1:], linked)
            else:
                self.call(linked, argv[1:], called=linked)
            return
        if f"_{_shell_name(self.name)}_COMPLETE" in self.environment:
            self._complete(None)
            return
        parsed = FlagSet(self.flags()).parse(argv[1:], interspersed=False)
        if parsed.last("help") is not None:
            self.print(self._launcher_help())
        elif parsed.last("version") is not None:
            self.print(f"{self.name} {self._own_version()}\n")
        elif parsed.last("make-symlinks") is not None:
            self._make_symlinks(parsed.last("dir") or ".")
        elif parsed.last("show-completion") is not None or parsed.last("install-completion") is not None:
            self._show_completion(argv[1:])
        elif not parsed.rest:
            _check_log_flags(parsed)
            raise UsageError("no server specified")
        elif parsed.rest[0] == "help":  # `hk help NAME` is `hk NAME --help`
            self._dispatch([argv[0], *parsed.rest[1:], "--help"])
        elif parsed.rest[0] in COMMANDS:
            self._command(parsed.rest[0], parsed.rest[1:], parsed)
        elif not self._registry.knows(parsed.rest[0]) and (tool := self.find_tool(parsed.rest[0])) is not None:
            self._tool(tool, parsed.rest[1:], parsed)
        else:
            self.call(parsed.rest[0], parsed.rest[1:], called=f"{self.name} {parsed.rest[0]}", before=parsed)

    def flags(self) -> tuple[Flag, ...]:
        """The flags that may stand before a server's name."""
        return (
            help_flag(self.name),
            VERSION_FLAG,
            *LOG_FLAGS,
            Flag("make-symlinks", "", "true", help="create a symlink for each server"),
            Flag("dir", metavar="DIR", help="where --make-symlinks creates them (default .)"),
            Flag(
                "install-completion", optional_value="", metavar="[SHELL]", help="make bash, zsh or fish complete this"
            ),
            Flag("show-completion", optional_value="", metavar="[SHELL]", help="print what makes it do so"),
        )

    def _linked_name(self, argv0: str) -> str | None:
        """The server that a soft link called `argv0` stands for; None when it is the launcher that was called."""
        name = os.path.basename(argv0).removesuffix(".exe")
        if name in (self.name, "hk", "hyperkube", "__main__.py", "-c", "-m", ""):
            return None
        if self._registry.knows(name):
            return name
        if os.path.islink(argv0) and os.path.basename(os.path.realpath(argv0)) != name:
            raise ServerNotFound(name, near(name, self.names()))
        return None  # a script of another name

    def _command(self, name: str, args: list[str], before: Parsed) -> None:
        if name == "alpha":
            self._alpha(args, before)
        else:
            from hyperkube_core._lazy import run_command

            self._usage = lambda: (
                f"Usage:\n  {self.name} {name} [flags]\n\nCall '{self.name} {name} --help' for help.\n"
            )
            run_command(self._typer(before), [name, *args], self.name, output=self.output)

    def tool_names(self) -> list[str]:
        """The names of commands that plugins offer beside servers; imports nothing."""
        from hyperkube_core._extras import tool_names

        return tool_names(self.group, self.environment)

    def find_tool(self, name: str) -> Tool | None:
        """The command of that name which a plugin offers, or None. Raises PluginError."""
        from hyperkube_core._extras import find_tool

        return find_tool(self.group, self.environment, name)

    def _tool(self, tool: Tool, args: list[str], before: Parsed) -> None:
        from hyperkube_core._lazy import application, run_command

        called = f"{self.name} {tool.name}"
        self._usage = lambda: f"Usage:\n  {called} [command]\n\nCall '{called} --help' for help.\n"
        self.set_logging_up(self.log_settings(before))
        run_command(application(tool.app, tool.name), args, called, obj=self, output=self.output)

    def _alpha(self, args: list[str], before: Parsed) -> None:
        self.print(f"{ALPHA_WARNING}\n", error=True)
        self._usage = self._alpha_help
        parsed = FlagSet((help_flag(self.name), *LOG_FLAGS)).parse(args, interspersed=False)
        if parsed.last("help") is not None:
            self.print(self._alpha_help())
        elif not parsed.rest:
            _check_log_flags(parsed)
            raise UsageError("no alpha server specified")
        else:
            before.given += parsed.given
            name = parsed.rest[0]
            self.call(name, parsed.rest[1:], called=f"{self.name} alpha {name}", before=before, alpha=True)

    def call(
        self, name: str, args: Sequence[str], *, called: str, before: Parsed | None = None, alpha: bool = False
    ) -> None:
        """Run the server `name`, or answer what its flags ask; `called` is what was typed to reach it."""
        server = self._registry.find(name)
        if server.alpha and not alpha:
            raise UsageError(f"{server.name} is an alpha server: call '{self.name} alpha {server.name}'")
        if alpha and not server.alpha:
            meant = [item.name for item in self.servers() if item.server is not None and item.server.alpha]
            raise ServerNotFound(name, near(name, meant))
        self.show_usage_of(server, called)
        line = self.read(server, args, called)
        if line.wants_help:
            self.print(self._usage())
        elif line.wants_version:
            self.print(f"{self._version_of(server, name)}\n")
        elif line.print_format is not None:
            self._print_config(line)
        else:
            log = self.log_settings(before or Parsed(), *(() if reads_itself(server) else (line.parsed,)))
            if line.rest:
                self._subcommand(line, called, log)
            else:
                self.start([self.invocation(line)], log)

    def show_usage_of(self, server: Server, called: str) -> None:
        """From here on a usage error is one in the command line of `server`."""
        self._usage = lambda: self._server_help(server, called, self.options_class(server))

    def read(self, server: Server, args: Sequence[str], called: str) -> CommandLine:
        from hyperkube_core._commandline import read

        prefix = f"{_variable(self.name)}_{_variable(server.name)}_"
        return read(
            server,
            args,
            options_class=self.options_class(server),
            environment=self.environment,
            prefix=prefix,
            called=called,
        )

    def invocation(self, line: CommandLine) -> Invocation:
        """What runs, of a command line that was read; its warnings are given, each once."""
        for warning in line.settings.warnings if line.settings is not None else ():
            self._warn(f"{line.server.name}: {warning}")
        return _without_warnings(line)

    def log_settings(self, *parsed: Parsed) -> LogSettings:
        return log_settings(parsed, self.environment, f"{_variable(self.name)}_")

    def start(self, invocations: Sequence[Invocation], log: LogSettings, **how: Any) -> None:
        """Run the servers in this process until they end."""
        from hyperkube_core._runner import run_servers

        self.set_logging_up(log)
        run_servers(invocations, host=self, **how)

    def start_processes(self, lines: Sequence[CommandLine], log: LogSettings, **how: Any) -> None:
        """Run each server in a process of its own, managed by this one until they end."""
        from hyperkube_core._supervisor import supervise

        self.set_logging_up(log)
        # Their command lines were read so that a bad one starts none; each process gives its own warnings.
        supervise([_without_warnings(line) for line in lines], host=self, **how)

    def set_logging_up(self, log: LogSettings, handler: Handler | None = None) -> None:
        """Set logs up, to stderr or `handler`, and give the warnings that waited for it."""
        from hyperkube_core._logging import configure

        configure(log, handler)
        pending, self._pending = self._pending or [], None
        for warning in pending:
            self._warn(warning, again=True)

    def _warn(self, warning: str, *, again: bool = False) -> None:
        if warning in self._warned and not again:
            return
        self._warned.add(warning)
        if self._pending is not None:
            self._pending.append(warning)
            return
        import logging

        logging.getLogger("hyperkube_core").warning("%s", warning)

    def options_class(self, server: Server) -> type[Any] | None:
        """The class of its options, imported; raises PluginLoadError, DescriptionError."""
        if server.options is None:
            return None
        found = server.options
        if isinstance(found, str):
            from hyperkube_core._registry import import_to_describe

            found = import_to_describe(found, server.name)
        cls: type[Any] = found
        try:
            check_flags(cls)
        except OptionsClassError as exc:
            raise DescriptionError(server.name, str(exc)) from exc
        return cls

    def _subcommand(self, line: CommandLine, called: str, log: LogSettings) -> None:
        from hyperkube_core._lazy import run_command, typer_group

        self.set_logging_up(log)
        options = line.settings.options if line.settings is not None else None
        run_command(typer_group(line.server), line.rest, called, obj=options, output=self.output)

    def _typer(self, before: Parsed | None = None) -> Any:
        from hyperkube_core._lazy import LauncherGroup

        return LauncherGroup(self, before or Parsed())

    def _complete(self, linked: str | None) -> None:
        from hyperkube_core._lazy import complete

        complete(self, linked)

    def _show_completion(self, args: Sequence[str], linked: str | None = None) -> None:
        from hyperkube_core._lazy import show_completion

        words = [word for arg in args for word in arg.split("=", 1)]
        first = next(i for i, word in enumerate(words) if word.endswith("-completion"))
        shell = next(iter(words[first + 1 :]), "")
        show_completion(self, shell, install=words[first] == "--install-completion", linked=linked)

    # What it says.

    def print(self, text: str, *, error: bool = False) -> None:
        stream = self.output or (sys.stderr if error else sys.stdout)
        stream.write(text)
        stream.flush()

    def _report(self, error: HyperkubeError) -> None:
        """Say what went wrong: the usage that helps first, so that the reason is what stays in sight."""
        text = ""
        if isinstance(error, UsageError):
            try:
                text = self._usage() + "\n"
            except HyperkubeError:  # the usage of what is broken cannot be shown; the first error is what counts
                text = ""
        if str(error):
            text += f"Error: {error}\n"
        if isinstance(error, ServerNotFound | UnknownFlag) and error.suggestions:
            text += "\nDid you mean this?\n" + "".join(f"  {item}\n" for item in error.suggestions)
        self.print(text, error=True)

    def _launcher_help(self) -> str:
        from hyperkube_core._extras import tools
        from hyperkube_core._help import launcher_help

        commands = [*COMMANDS.items(), *tools(self.group, self.environment)]
        return launcher_help(self.name, self.long, self.servers(), commands, self.flags())

    def _alpha_help(self) -> str:
        from hyperkube_core._help import alpha_help

        return alpha_help(self.name, self.servers())

    def _server_help(self, server: Server, called: str, options_class: type[Any] | None) -> str:
        from hyperkube_core._commandline import SERVER_FLAGS
        from hyperkube_core._help import server_help
        from hyperkube_core._options import foreign_flags_of, options_of

        commands: list[tuple[str, str]] = []
        if server.commands:
            from hyperkube_core._lazy import describe_commands

            commands = describe_commands(server)
        own = (help_flag(called), VERSION_FLAG)
        if reads_itself(server):
            return server_help(called, server, None, own)
        options = options_of(options_class) if options_class is not None else ()
        flags = (*own, *LOG_FLAGS, *(SERVER_FLAGS if options_class is not None else ()))
        foreign = foreign_flags_of(options_class).values()
        return server_help(called, server, options, flags, commands=commands, foreign=foreign)

    def _print_config(self, line: CommandLine) -> None:
        from hyperkube_core._print_config import render

        if line.settings is None or line.print_format is None:
            return
        for warning in line.settings.warnings:
            self.print(f"Warning: {warning}\n", error=True)
        self.print(render(line.server.name, line.settings, line.print_format, self.output or sys.stdout))

    def _make_symlinks(self, folder: str) -> None:
        from hyperkube_core._symlinks import make_symlinks

        make_symlinks(self.program, self.servers(), folder, lambda line: self.print(line, error=True))

    def _own_version(self) -> str:
        if self.version is not None:
            return self.version
        from importlib.metadata import version

        return version("hyperkube-core")

    def _version_of(self, server: Server, name: str) -> str:
        if server.version:
            return str(import_from(server.version, server.name))
        record = self._registry.owners.get(name)
        return f"{server.name} {record.version if record is not None else self._own_version()}"


def _check_log_flags(parsed: Parsed) -> None:
    """Raises SettingsError for a bad value: in `hk -v apiserver` the server's name is what -v took for its own."""
    log_settings((parsed,), {}, "")


def _without_warnings(line: CommandLine) -> Invocation:
    if line.settings is None:
        return Invocation(line.server, line.args)
    return Invocation(line.server, line.args, line.settings.options, line.settings.sources)


def _variable(name: str) -> str:
    return name.upper().replace("-", "_").replace(".", "_")


def _shell_name(name: str) -> str:
    """How shells' completion spells a program in the name of a variable. Source: Click."""
    return name.replace("-", "_").replace(".", "_").upper()


def _own_program() -> tuple[str, ...]:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name:
        return (sys.executable, "-m", spec.name.removesuffix(".__main__"))
    # The file behind a soft link: the link's name would make it that server again.
    script = os.path.realpath(sys.argv[0])
    return (script,) if script.endswith(".exe") else (sys.executable, script)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
