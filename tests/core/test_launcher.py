"""The launcher as its users call it: a process, its output and its exit status."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyperkube_core import Command, Context, Coroutine, HyperKube, HyperkubeError, Invocation, Server, flag
from hyperkube_core.testing import Installed, Site

Install = Callable[..., Installed]
HK = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN = """
from hyperkube_core import Coroutine, Server, hookimpl

@hookimpl
def hyperkube_servers():
    return [
        Server(name="thing", aliases=("kube-thing",), summary="A thing.", long="The thing that does things.",
               run=Coroutine("thing_server:run"), options="thing_server:Options", completes=True),
        Server(name="other", long="Another.", run=Coroutine("thing_server:run"), options="thing_server:Options",
               completes=True, alpha=True),
        Server(name="raw", long="Reads its words itself.", run=Coroutine("thing_server:raw"), completes=True,
               version="thing_server:VERSION"),
    ]
"""

SERVER = """
from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any

from hyperkube_core import Context, ForeignFlag, flag, verbose


@dataclass(frozen=True, slots=True)
class Options:
    secure_port: int = flag(6443, help="The port to serve on.", section="Serving", maximum=65535)
    names: tuple[str, ...] = flag((), help="Some names.")
    quiet: bool = flag(False, short="q", help="Say less.")
    token: str = flag("", secret=True)

    @staticmethod
    def foreign_flags() -> dict[str, ForeignFlag]:
        return {
            "old": ForeignFlag("warned", "it is gone"),
            "tight": ForeignFlag("refused", "nothing would be tighter"),
        }


async def run(context: Context[Any]) -> None:
    verbose(logging.getLogger("thing"), 2, "said at two")
    print(context.name, asdict(context.options) if context.options else context.args)


VERSION = "Thing v7.1"


async def raw(context: Context[Any]) -> None:
    print(*context.args)
"""


@pytest.fixture
def thing(install_plugin: Install) -> Installed:
    points = dict.fromkeys(("thing", "kube-thing", "other", "raw"), "thing_plugin")
    return install_plugin("thing", PLUGIN, version="2.5", entry_points=points, files={"thing_server.py": SERVER})


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("thing")
class TestCalls:
    def test_a_server_runs_by_its_name_and_its_other_name(self, hk: HK) -> None:
        assert "'secure_port': 7" in said(hk("thing", "--secure_port=7"))
        assert "'secure_port': 8" in said(hk("kube-thing", "--secure-port", "8"))

    def test_launchers_flags_before_the_name_hold_for_the_server(self, hk: HK) -> None:
        assert "said at two" in hk("-v=2", "thing").stderr
        assert "said at two" in hk("thing", "--v", "2").stderr
        assert "said at two" not in hk("-v=2", "thing", "-v=1").stderr
        assert "said at two" in hk("thing", environment={"HK_V": "2"}).stderr

    def test_logs_are_json_on_demand_and_klogs_as_text(self, hk: HK) -> None:
        lines = hk("--logging-format=json", "thing", "-v=2").stderr.splitlines()
        assert any(json.loads(line)["msg"] == "said at two" for line in lines)
        assert '] "said at two"' in hk("thing", "-v=2", "--logging-format=text").stderr

    @pytest.mark.parametrize(
        ("args", "reason"),
        [
            (["-v", "thing"], 'flag -v: invalid value: "thing" is not a whole number from 0 on'),
            (["alpha", "-v", "other"], 'flag -v: invalid value: "other" is not a whole number from 0 on'),
            (["-v=x", "thing"], 'flag -v: invalid value: "x" is not a whole number from 0 on'),
            (["thing", "--logging-format=jsn"], '"jsn" is none of auto, human, text, json; did you mean json?'),
            (["thing", "--log-color=red"], '"red" is none of auto, always, never'),
        ],
    )
    def test_bad_launchers_flags_are_named(self, hk: HK, args: list[str], reason: str) -> None:
        done = hk(*args)
        assert done.returncode == 2
        assert reason in done.stderr

    @pytest.mark.parametrize(
        ("args", "status", "reason"),
        [
            ([], 2, "no server specified"),
            (["thin"], 2, "Server not found: thin"),
            (["--bad-flag"], 2, "unknown flag: --bad-flag"),
            (["thing", "--bad-flag"], 2, "unknown flag: --bad-flag"),
            (["thing", "word"], 2, '"hk thing" does not take any arguments, got ["word"]'),
            (["thing", "--secure-port=99999"], 2, "flag --secure-port: invalid value: 99999 is more than 65535"),
            (["thing", "--secure-port"], 2, "flag needs an argument: --secure-port"),
            (["thing", "--tight=x"], 2, "flag --tight: refused: nothing would be tighter"),
            (["other"], 2, "other is an alpha server: call 'hk alpha other'"),
            (["alpha", "thing"], 2, "Server not found: thing"),
            (["plugins", "--bad-flag"], 2, "unknown flag: --bad-flag"),
            (["thing", "--print-config=xml"], 2, 'flag --print-config: "xml" is none of table, json, yaml'),
        ],
    )
    def test_errors_have_documented_exit_statuses(self, hk: HK, args: list[str], status: int, reason: str) -> None:
        done = hk(*args)
        assert done.returncode == status
        assert f"Error: {reason}" in done.stderr
        assert done.stdout == ""

    def test_near_misses_are_suggested(self, hk: HK) -> None:
        assert hk("thng").stderr.endswith("Error: Server not found: thng\n\nDid you mean this?\n  thing\n")
        assert hk("thing", "--secure-prt=1").stderr.endswith("Did you mean this?\n  --secure-port\n")

    def test_the_reason_comes_behind_the_usage(self, hk: HK) -> None:
        lines = hk("thing", "--bad-flag").stderr.splitlines()
        assert lines[0] == "The thing that does things."
        assert lines[-1] == "Error: unknown flag: --bad-flag"

    def test_a_warned_flag_runs_with_a_warning(self, hk: HK) -> None:
        done = hk("thing", "--old=x", "--old=y", "--secure-port=7")
        assert "'secure_port': 7" in said(done)
        assert done.stderr.count("flag --old has no effect: it is gone") == 1

    def test_version_is_the_launchers_before_and_the_distributions_after(self, hk: HK) -> None:
        assert said(hk("--version", "thing")).startswith("hk ")
        assert said(hk("thing", "--version")) == "thing 2.5\n"

    def test_version_is_the_servers_own_text_where_it_has_one(self, hk: HK) -> None:
        assert said(hk("raw", "--version")) == "Thing v7.1\n"

    def test_help_after_a_server_lists_its_flags_by_section(self, hk: HK) -> None:
        text = said(hk("thing", "--help"))
        assert "Usage:\n  hk thing [flags]\n" in text
        assert "Serving:\n      --secure-port int\n                The port to serve on. (default 6443)\n" in text
        assert "  -q, --quiet\n" in text
        assert " help for hk thing\n" in text
        assert "Flags known besides: 1 that do nothing here" in text
        assert "Other names: kube-thing" in text
        assert said(hk("thing", "--secure-port=7", "-h")) == text

    @pytest.mark.parametrize("words", [(), ("thing",), ("kube-thing",), ("plugins",), ("alpha",), ("alpha", "other")])
    def test_help_before_a_name_is_as_behind_it(self, hk: HK, words: tuple[str, ...]) -> None:
        assert said(hk("help", *words)) == said(hk(*words, "--help"))

    def test_help_for_what_there_is_not_is_an_error(self, hk: HK) -> None:
        done = hk("help", "thng")
        assert done.returncode == 2
        assert done.stderr.endswith("Error: Server not found: thng\n\nDid you mean this?\n  thing\n")

    def test_alpha_servers_stand_apart_and_run_with_a_warning(self, hk: HK) -> None:
        assert "Alpha servers, called as 'hk alpha <server> [flags]'\n\n  other\n" in said(hk("--help"))
        done = hk("alpha", "other", "--secure-port=7")
        assert "other {'secure_port': 7" in said(done)
        assert done.stderr.startswith("Warning: alpha command syntax is unstable!\n")
        assert "  other\n" in said(hk("alpha", "--help"))

    def test_a_server_without_options_gets_its_words_as_they_are(self, hk: HK) -> None:
        assert said(hk("raw", "--any_thing", "-x", "--", "y", "--help")) == "--any_thing -x -- y --help\n"
        assert "Reads its words itself." in said(hk("raw", "--help"))

    def test_settings_come_from_file_environment_and_flag(self, hk: HK, tmp_path: Path) -> None:
        config = tmp_path / "c.toml"
        config.write_text('secure-port = 1\nnames = ["file"]\nquiet = true\n')
        environment = {"HK_THING_SECURE_PORT": "2", "HK_THING_NAMES": "environment", "HK_THING_TOKEN": "abc"}
        args = ("thing", f"--config={config}", "--secure-port=3", "--print-config=json")
        settings = json.loads(said(hk(*args, environment=environment)))["settings"]
        assert settings == {
            "secure-port": {"value": 3, "source": "flag --secure-port"},
            "names": {"value": ["environment"], "source": "environment HK_THING_NAMES"},
            "quiet": {"value": True, "source": f"file {config}"},
            "token": {"value": "********", "source": "environment HK_THING_TOKEN"},
        }
        by_variable = {"HK_THING_CONFIG": str(config)}
        assert "'names': ('file',)" in said(hk("thing", environment=by_variable))

    def test_printed_settings_can_be_given_back(self, hk: HK, tmp_path: Path) -> None:
        config = tmp_path / "c.yaml"
        config.write_text(said(hk("thing", "--secure-port=3", "--names=a,b", "--print-config=yaml")))
        assert "'secure_port': 3, 'names': ('a', 'b')" in said(hk("thing", "--config", str(config)))

    def test_printed_settings_are_a_table_otherwise(self, hk: HK) -> None:
        lines = said(hk("thing", "--secure-port=3", "--print-config")).splitlines()
        assert lines[0].split() == ["SETTING", "VALUE", "FROM"]
        assert lines[1].split() == ["secure-port", "3", "flag", "--secure-port"]

    def test_a_closed_pipe_is_no_traceback(self, site: Site) -> None:
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "hyperkube_core", "--help"],
            env=site.environment(),
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(write)
        assert done.returncode == 1
        assert done.stderr == ""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The installed command, as a script that is called by its path."""
    path = tmp_path / "bin" / "hk"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nfrom hyperkube_core.__main__ import main\nmain()\n")
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("thing")
class TestSoftLinks:
    def call(self, site: Site, path: Path, *args: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return site.hk(*args, program=[str(path)], **more)

    def test_a_link_is_the_server_of_its_name(self, site: Site, program: Path) -> None:
        for name in ("thing", "kube-thing"):
            link = program.with_name(name)
            link.symlink_to(program)
            assert "'secure_port': 7" in said(self.call(site, link, "--secure-port=7"))
            assert f"Usage:\n  {name} [flags]" in said(self.call(site, link, "--help"))

    def test_a_link_of_no_servers_name_is_not_found(self, site: Site, program: Path) -> None:
        link = program.with_name("kube-thin")
        link.symlink_to(program)
        done = self.call(site, link)
        assert done.returncode == 2
        assert "Server not found: kube-thin" in done.stderr

    def test_a_script_of_another_name_is_the_launcher(self, site: Site, program: Path) -> None:
        other = program.with_name("launch")
        program.rename(other)
        assert "'secure_port': 7" in said(self.call(site, other, "thing", "--secure-port=7"))

    def test_links_are_made_for_each_servers_own_name(self, site: Site, program: Path, tmp_path: Path) -> None:
        folder = tmp_path / "links"
        folder.mkdir()
        limit = {"HYPERKUBE_LOAD_PLUGINS": "thing"}
        said(self.call(site, program, "--make-symlinks", "--dir", str(folder), environment=limit))
        assert sorted(path.name for path in folder.iterdir()) == ["raw", "thing"], "no alpha server, no other name"
        assert "'quiet': True" in said(self.call(site, folder / "thing", "-q"))

    def test_links_are_made_in_the_current_folder(self, site: Site, program: Path, tmp_path: Path) -> None:
        folder = tmp_path / "here"
        folder.mkdir()
        said(self.call(site, program, "--make-symlinks", cwd=folder))
        assert (folder / "thing").resolve() == program
        said(self.call(site, program, "--make-symlinks", cwd=folder))  # what is right already stays

    def test_each_failure_is_said_and_the_others_are_made(self, site: Site, program: Path, tmp_path: Path) -> None:
        (tmp_path / "raw").write_text("in the way")
        done = self.call(site, program, "--make-symlinks", f"--dir={tmp_path}")
        assert done.returncode == 1
        assert f"{tmp_path}/raw: File exists" in done.stderr
        assert "Error: Error creating one or more symlinks." in done.stderr
        assert (tmp_path / "thing").is_symlink()

    def test_a_folder_that_is_not_there_is_said_once(self, site: Site, program: Path, tmp_path: Path) -> None:
        done = self.call(site, program, "--make-symlinks", f"--dir={tmp_path}/new")
        assert done.returncode == 1
        assert done.stderr == f"Error: cannot create symlinks in {tmp_path}/new: there is no such folder\n"
        assert not (tmp_path / "new").exists()


BRAND = """
import sys
from hyperkube_core import HyperKube
HyperKube("km", long="This is an all-in-one binary that can run any of the various Kubernetes-Mesos servers.",
          group="own.servers", version="0.9").run_to_exit()
"""


class TestBrand:
    """A third party's launcher: three lines."""

    LONG = (
        "The main API entrypoint and interface to the storage system. The API server is also the focal point for all"
        " authorization decisions."
    )

    @pytest.fixture
    def km(self, site: Site, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
        script = tmp_path / "km"
        script.write_text(f"#!{sys.executable}\n{BRAND}")
        script.chmod(0o755)
        source = PLUGIN.replace("The thing that does things.", self.LONG).replace('"thing"', '"apiserver"')
        site.install(
            "apiserver",
            source,
            distribution="km-servers",
            group="own.servers",
            entry_points={"apiserver": "km_servers_plugin"},
            files={"thing_server.py": SERVER},
        )
        return lambda *args, **more: site.hk(*args, program=[str(script)], **more)

    def test_its_help_looks_like_kms(self, km: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        text = said(km("--help"))
        assert text.startswith(
            "This is an all-in-one binary that can run any of the various Kubernetes-Mesos\n"
            "servers.\n"
            "\n"
            "Usage\n"
            "\n"
            "  km <server> [flags]\n"
            "\n"
            "Servers\n"
            "\n"
            "  apiserver\n"
            "    The main API entrypoint and interface to the storage system. The API server\n"
            "    is also the focal point for all authorization decisions.\n"
        )
        assert text.endswith(
            "\n\n"
            "Call 'km --make-symlinks' to create symlinks for each server in the local directory.\n"
            "Call 'km <server> --help' for help on a specific server.\n"
        )
        assert "hk" not in text

    def test_its_servers_variables_and_version_are_its_own(
        self, km: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        assert "'secure_port': 5" in said(km("apiserver", environment={"KM_APISERVER_SECURE_PORT": "5"}))
        assert said(km("--version")) == "km 0.9\n"
        assert km("kubelet").returncode == 2

    def test_servers_can_be_added_in_code_and_output_kept(self) -> None:
        output = io.StringIO()
        ran: list[str] = []

        async def serve(context: Context[Any]) -> None:
            ran.append(context.name)

        km = HyperKube("km", long="Mine.", group="km.nobody", output=output)
        km.add_server(Server(name="own", long="My own.", run=Coroutine(serve), completes=True))
        km.run(["km", "own"])
        assert ran == ["own"]
        km.run(["km", "--help"])
        assert "  own\n    My own.\n" in output.getvalue()
        km.run(["km", "plugins"])
        assert "(added in code)" in output.getvalue()
        with pytest.raises(HyperkubeError, match="Server not found: none"):
            km.run(["km", "none"])

    @pytest.mark.parametrize(("argv", "status"), [(["km", "own"], 0), (["km", "none"], 2), (["km", "bad"], 4)])
    def test_run_to_exit_ends_with_the_status(self, argv: list[str], status: int) -> None:
        async def serve(context: Context[Any]) -> None:
            if context.name == "bad":
                raise RuntimeError("no")

        km = HyperKube("km", group="km.nobody", output=io.StringIO())
        for name in ("own", "bad"):
            km.add_server(Server(name=name, run=Coroutine(serve), completes=True))
        with pytest.raises(SystemExit) as caught:
            km.run_to_exit(argv)
        assert caught.value.code == status


class TestHost:
    """What running servers ask of the launcher."""

    def test_a_command_line_is_parsed_for_a_server(self) -> None:
        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Options:
            port: int = flag(1)

        km = HyperKube("km", group="km.nobody", environment={"KM_A_PORT": "3"})
        server = Server(name="a", aliases=("b",), run=Coroutine("m:f"), options=Options)
        km.add_server(server)
        assert km.find_server("b") is server
        assert km.find_server("c") is None
        assert km.parse("b", ["--port=2"]) == Invocation(server, ("--port=2",), Options(2), {"port": "flag --port"})
        assert km.parse("a", []).options == Options(3)

    def test_the_program_can_be_told(self) -> None:
        km = HyperKube("km")
        km.program = ["/usr/bin/km"]
        assert km.program == ("/usr/bin/km",)


class TestCommands:
    def test_a_programs_words_pass_through(self) -> None:
        km = HyperKube("km", group="km.nobody", output=io.StringIO())
        program = Command((sys.executable, "-c", "import sys; print(sys.argv)"))
        km.add_server(Server(name="tool", run=program))
        words = ("get", "pods", "--help", "-v=9", "--", "x")
        assert km.parse("tool", words) == Invocation(km.server("tool"), words, None)
