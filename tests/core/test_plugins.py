"""Plugins, good and bad: each test installs real distributions and calls the launcher as a user would."""

from __future__ import annotations

import builtins
import gc
import io
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hyperkube_core import (
    Coroutine,
    DerivedServer,
    DescriptionError,
    HyperKube,
    NameClash,
    PluginError,
    PluginLoadError,
    PluginVersionError,
    Server,
    derive,
)
from hyperkube_core._describe import check
from hyperkube_core._discovery import PluginRecord
from hyperkube_core._registry import Registry, import_from
from hyperkube_core.testing import Installed

Install = Callable[..., Installed]
HK = Callable[..., subprocess.CompletedProcess[str]]


def plugin(*names: str, more: str = "", body: str = "print('running', context.name)") -> str:
    """The source of a plugin with a server that does its job at once."""
    name, *aliases = names
    return f"""
from hyperkube_core import Coroutine, Server, hookimpl

async def run(context):
    {body}

@hookimpl
def hyperkube_servers():
    return [Server(name={name!r}, aliases={tuple(aliases)!r}, long="The {name} server.", run=Coroutine(run),
                   completes=True, {more})]
"""


def listed(hk: HK) -> dict[str, dict[str, Any]]:
    """What `hk plugins` says of each server, by `distribution/server`."""
    done = hk("plugins", "--output", "json")
    assert done.returncode == 0, done.stderr
    return {f"{item['distribution']}/{item['server']}": item for item in json.loads(done.stdout)["plugins"]}


BAD_IMPORTS = {
    "ImportError": "raise ImportError('no libnftables')",
    "SyntaxError": "def broken(:",
    "SystemExit": "raise SystemExit(0)",
    "ZeroDivisionError": "1 / 0",
    "ModuleNotFoundError": "import nowhere_to_be_found",
}


@pytest.mark.parametrize("error", BAD_IMPORTS)
def test_a_broken_plugin_is_listed_and_its_neighbours_still_run(install_plugin: Install, hk: HK, error: str) -> None:
    install_plugin("good", plugin("good"))
    install_plugin("broken", BAD_IMPORTS[error])
    helped = hk("--help")
    assert helped.returncode == 0
    assert "  broken\n    BROKEN: plugin 'broken': cannot import broken_plugin" in helped.stdout
    assert hk("good").stdout == "running good\n"
    done = hk("broken")
    assert done.returncode == 3
    assert error in done.stderr
    item = listed(hk)["broken/broken"]
    assert (item["state"], item["error"]) == ("broken", "PluginLoadError")
    assert error in item["reason"]


NONSENSE = {
    "no hook": ("x = 1", "implements no hook"),
    "no list": (
        "from hyperkube_core import hookimpl\n@hookimpl\ndef hyperkube_servers(): return 5",
        "its hook failed (TypeError",
    ),
    "no description": (
        "from hyperkube_core import hookimpl\n@hookimpl\ndef hyperkube_servers(): return ['x']",
        "it registers 'x', which is no Server",
    ),
    "another name": (plugin("elsewhere"), "registers no server of that name (it registers 'elsewhere')"),
    "raising hook": (
        "from hyperkube_core import hookimpl\n@hookimpl\ndef hyperkube_servers(): raise RuntimeError('boo')",
        "its hook failed (RuntimeError: boo)",
    ),
    "wrong hook": (
        "from hyperkube_core import hookimpl\n@hookimpl\ndef hyperkube_servers(surprise): return []",
        "its hook failed (PluginValidationError",
    ),
    "the same twice": (
        plugin("broken").replace("return [", "return 2 * ["),
        "it registers the name 'broken' twice",
    ),
    "bad target": (plugin("broken", more="options='no colon'"), "options is 'no colon', not 'module:attribute'"),
    "newer field": (plugin("broken", more="colour='red'"), "may be written for a newer hyperkube-core"),
    "newer name": ("from hyperkube_core import Teleporter", "may be written for a newer hyperkube-core"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_spoils_only_the_plugin_that_registers_it(install_plugin: Install, hk: HK, case: str) -> None:
    source, reason = NONSENSE[case]
    install_plugin("good", plugin("good"))
    install_plugin("broken", source)
    assert hk("good").returncode == 0
    done = hk("broken")
    assert done.returncode == 3
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert hk("--help").returncode == 0


def test_a_plugin_for_a_newer_api_says_what_to_do(install_plugin: Install, hk: HK) -> None:
    install_plugin("future", plugin("future", more="plugin_api=99"))
    done = hk("future")
    assert done.returncode == 3
    assert "version 99 of the plugin API" in done.stderr
    assert "upgrade hyperkube-core" in done.stderr
    assert listed(hk)["future/future"]["error"] == "PluginVersionError"


def test_only_the_plugin_of_the_server_that_runs_is_imported(install_plugin: Install, hk: HK) -> None:
    install_plugin("good", plugin("good"))
    install_plugin("loud", "print('loud was imported')\n" + plugin("loud"))
    assert "loud" not in hk("good").stderr
    assert "loud was imported" in hk("--help").stderr


def test_what_a_plugin_prints_while_it_is_asked_does_not_spoil_what_programs_read(
    install_plugin: Install, hk: HK
) -> None:
    source = """
print("plugin imported")
from hyperkube_core import Coroutine, Server, hookimpl

@hookimpl
def hyperkube_servers():
    print("hook called")
    yield Server(name="loud", run=Coroutine("loud_server:run"), options="loud_server:Options", completes=True)
    print("hook ended")
"""
    server = """
print("server imported")
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    port: int = 1

async def run(context):
    print("running")
"""
    install_plugin("loud", source, files={"loud_server.py": server})
    assert listed(hk)["loud/loud"]["error"] is None
    done = hk("loud", "--print-config=json")
    assert json.loads(done.stdout)["settings"]["port"]["value"] == 1
    assert done.stderr.splitlines() == ["plugin imported", "hook called", "hook ended", "server imported"]
    assert hk("loud").stdout == "running\n", "what a server prints as it runs is its own"


def test_help_imports_descriptions_and_no_server(install_plugin: Install, hk: HK) -> None:
    source = """
from hyperkube_core import Coroutine, Server, hookimpl

@hookimpl
def hyperkube_servers():
    return [Server(name="heavy", long="Heavy.", run=Coroutine("heavy_server:run"), options="heavy_server:Options")]
"""
    install_plugin("heavy", source, files={"heavy_server.py": "raise RuntimeError('a server was imported')"})
    done = hk("--help")
    assert done.returncode == 0
    assert "Heavy." in done.stdout
    assert "a server was imported" not in done.stdout + done.stderr
    assert "a server was imported" in hk("heavy").stderr


def test_the_first_distribution_by_name_has_a_name_that_two_claim(install_plugin: Install, hk: HK) -> None:
    install_plugin("same", plugin("same", body="print('of acme')"), distribution="acme")
    install_plugin("same", plugin("same", body="print('of zeta')"), distribution="zeta")
    assert hk("same").stdout == "of acme\n"
    plugins = listed(hk)
    assert plugins["acme/same"]["state"] == "ok"
    loser = plugins["zeta/same"]
    assert (loser["state"], loser["error"]) == ("broken", "NameClash")
    assert "'zeta'" in loser["reason"]
    assert "'acme'" in loser["reason"]
    doctor = hk("doctor", "--output=json")
    assert doctor.returncode == 1
    assert any("'acme'" in finding["detail"] for finding in json.loads(doctor.stdout)["findings"])


def test_the_distribution_that_is_called_after_a_server_has_its_names(install_plugin: Install, hk: HK) -> None:
    install_plugin(
        "thing",
        plugin("thing", "kube-thing", body="print('the real')"),
        aliases=["kube-thing"],
        distribution="hyperkube-thing",
    )
    install_plugin("thing", plugin("thing", "kube-thing"), aliases=["kube-thing"], distribution="acme")
    assert hk("thing").stdout == "the real\n"
    assert hk("kube-thing").stdout == "the real\n"


def test_a_server_of_which_another_name_is_taken_is_broken_and_says_by_whom(install_plugin: Install, hk: HK) -> None:
    install_plugin("first", plugin("first"))
    install_plugin("second", plugin("second", "first"), aliases=["first"])
    assert hk("first").stdout == "running first\n"
    done = hk("second")
    assert done.returncode == 3
    assert "claims the name 'first', which is taken by distribution 'first'" in done.stderr
    assert listed(hk)["second/second"]["error"] == "NameClash"


def test_the_launchers_own_commands_cannot_be_taken(install_plugin: Install, hk: HK) -> None:
    install_plugin("doctor", plugin("doctor"))
    assert "running doctor" not in hk("doctor").stdout
    assert "taken by a command of the launcher" in listed(hk)["doctor/doctor"]["reason"]


def test_load_plugins_limits_what_is_considered(install_plugin: Install, hk: HK) -> None:
    install_plugin("one", plugin("one"))
    install_plugin("two", plugin("two"))
    limit = {"HYPERKUBE_LOAD_PLUGINS": "two"}
    done = hk("one", environment=limit)
    assert done.returncode == 2
    assert "Server not found: one" in done.stderr
    assert hk("two", environment=limit).returncode == 0
    assert "one" not in hk("plugins", environment=limit).stdout
    mistyped = hk("doctor", environment={"HYPERKUBE_LOAD_PLUGINS": "two,tow"}).stdout
    assert "HYPERKUBE_LOAD_PLUGINS names 'tow', which no distribution or server is called" in mistyped


def test_plugins_lists_distributions_versions_servers_and_state(install_plugin: Install, hk: HK) -> None:
    install_plugin("good", plugin("good", "fine"), aliases=["fine"], version="3.1", distribution="my-good")
    item = listed(hk)["my-good/good"]
    assert (item["version"], item["aliases"], item["state"], item["reason"]) == ("3.1", ["fine"], "ok", None)
    line = next(line for line in hk("plugins").stdout.splitlines() if line.startswith("my-good"))
    assert line.split() == ["my-good", "3.1", "good", "fine", "ok"]


def test_doctor_is_content_with_a_good_environment(install_plugin: Install, hk: HK) -> None:
    install_plugin("good", plugin("good"))
    done = hk("doctor", "--output", "json", environment={"HYPERKUBE_LOAD_PLUGINS": "good"})
    document = json.loads(done.stdout)
    assert done.returncode == 0, document
    assert document["healthy"]
    assert {finding["state"] for finding in document["findings"]} <= {"ok", "warning"}
    assert any(finding["check"] == "sqlite" for finding in document["findings"])


def test_doctor_says_what_to_do_about_each_problem(install_plugin: Install, hk: HK) -> None:
    install_plugin("broken", "raise ImportError('no libnftables')", distribution="hyperkube-broken")
    install_plugin("needy", plugin("needy"), requires=["nobody-has-this>=1", "pluggy<1", "rich>=1", "typer==0; x"])
    install_plugin("twice", plugin("twice"), version="1.0")
    install_plugin("twice", plugin("twice"), version="1.1")
    install_plugin("alias", plugin("alias", "unreachable"))
    done = hk("doctor")
    assert done.returncode == 1
    text = done.stdout
    assert "no libnftables" in text
    assert "pip install --upgrade hyperkube-broken, or uninstall it" in text
    assert "needy needs nobody-has-this>=1, which is not installed" in text
    assert "needy needs pluggy<1, which" in text
    assert "needy needs rich" not in text
    assert "twice is installed more than once: " in text
    assert "but has no entry point for it" in text


class TestDerive:
    BASE = Server(name="base", run=Coroutine("m:f"), long="Base.", defaults={"a": 1, "b": 1}, aliases=("kube-base",))

    def test_an_installed_server_is_offered_under_another_brand(self, install_plugin: Install, hk: HK) -> None:
        install_plugin("base", "print('base was imported')\n" + plugin("base"))
        install_plugin(
            "mine",
            "from hyperkube_core import derive, hookimpl\n"
            "@hookimpl\n"
            "def hyperkube_servers(): return [derive('base', name='mine', long='My own.')]",
        )
        done = hk("mine")
        assert done.stdout == "running mine\n"
        assert "base was imported" in done.stderr
        assert "My own." in hk("mine", "--help").stdout

    def test_one_without_its_base_does_not_pass_for_its_neighbour_in_the_help(
        self, install_plugin: Install, hk: HK
    ) -> None:
        install_plugin("base", plugin("base"))
        install_plugin(
            "brand",
            "from hyperkube_core import derive, hookimpl\n"
            "@hookimpl\n"
            "def hyperkube_servers():\n"
            "    return [derive('base', name='brand', long='My own.'), derive('gone', name='brand1'),\n"
            "            derive('gone', name='brand2'), derive('lost', name='brand3')]\n",
            entry_points=dict.fromkeys(("brand", "brand1", "brand2", "brand3"), "brand_plugin"),
        )
        text = hk("--help").stdout
        assert "  brand\n    My own.\n" in text
        reasons = [entry.split("BROKEN")[0].split() for entry in text.split("\n\n") if "BROKEN" in entry]
        assert reasons == [["brand1,", "brand2"], ["brand3"]]

    def test_a_wrong_default_is_the_descriptions_fault_and_names_the_server(self) -> None:
        @dataclass(frozen=True)
        class Options:
            port: int = 1

        launcher = HyperKube("km", group="nobody.servers", output=io.StringIO())
        base = Server(name="base", run=RUN, options=Options)
        launcher.add_server(derive(base, name="mine", defaults={"bogus": 1}))
        with pytest.raises(DescriptionError, match="plugin 'mine': its defaults: there is no option 'bogus'") as caught:
            launcher.run(["km", "mine"])
        assert caught.value.exit_code == 3

    def test_a_base_that_is_not_installed_is_named(self) -> None:
        registry = Registry("nobody.servers")
        registry.add(derive("base", name="mine", group="nobody.servers"))
        with pytest.raises(PluginError, match="is made from the server 'base', which is not installed"):
            registry.find("mine")

    def test_what_is_not_given_stays_as_it_was(self) -> None:
        derived = derive(self.BASE, name="mine", defaults={"b": 2})
        assert isinstance(derived, Server)
        assert (derived.name, derived.long, derived.defaults) == ("mine", "Base.", {"a": 1, "b": 2})
        assert derived.aliases == ()
        assert derived.run == self.BASE.run

    def test_a_derived_server_can_be_derived_from(self) -> None:
        first = derive("base", name="first", long="First.", defaults={"a": 2}, group="x.servers")
        second = derive(first, name="second", defaults={"b": 2})
        assert isinstance(second, DerivedServer)
        assert (second.base, second.group, second.long) == ("base", "x.servers", "First.")
        assert second.defaults == {"a": 2, "b": 2}

    def test_one_that_is_made_from_itself_is_an_error(self) -> None:
        registry = Registry("nobody.servers")
        registry.add(derive("b", name="a", group="nobody.servers"))
        registry.add(derive("a", name="b", group="nobody.servers"))
        with pytest.raises(DescriptionError, match="made from itself"):
            registry.find("a")

    def test_servers_of_another_group_are_found_there(self) -> None:
        asked: list[str] = []

        def find(group: str) -> tuple[()]:
            asked.append(group)
            return ()

        registry = Registry("km.servers", find_records=find)
        registry.add(derive("apiserver", name="apiserver"))
        with pytest.raises(PluginError, match="not installed"):
            registry.find("apiserver")
        assert "hyperkube.servers" in asked


RUN = Coroutine("m:f")


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (5, "which is no Server"),
        (Server(name="", run=RUN), "is no name"),
        (Server(name="a b", run=RUN), "is no name"),
        (Server(name="-a", run=RUN), "is no name"),
        (Server(name=5, run=RUN), "is no name"),  # type: ignore[arg-type]
        (Server(name="a", run=RUN, aliases="bc"), "aliases are 'bc'"),  # type: ignore[arg-type]
        (Server(name="a", run=RUN, aliases=("b/c",)), "is no name"),
        (Server(name="a", run="m:f"), "neither Coroutine nor Blocking nor Command"),  # type: ignore[arg-type]
        (Server(name="a", run=Coroutine("m.f")), "neither 'module:attribute' nor a function"),
        (Server(name="a", run=RUN, defaults=[1]), "not a mapping"),  # type: ignore[arg-type]
        (Server(name="a", run=RUN, long=5), "long is no text"),  # type: ignore[arg-type]
        (Server(name="a", run=RUN, options=5), "no dataclass"),  # type: ignore[arg-type]
        (Server(name="a", run=RUN, options=int), "no dataclass"),
        (Server(name="a", run=RUN, stop_seconds=0), "no number above 0"),
        (Server(name="a", run=RUN, start_seconds="1"), "no number above 0"),  # type: ignore[arg-type]
        (Server(name="a", run=RUN, plugin_api="2"), "no version"),  # type: ignore[arg-type]
    ],
)
def test_descriptions_are_checked(description: object, reason: str) -> None:
    with pytest.raises(DescriptionError, match=reason):
        check(description, "p")


def test_errors_are_told_apart_by_class() -> None:
    assert issubclass(PluginLoadError, PluginError)
    with pytest.raises(PluginVersionError):
        check(Server(name="a", run=RUN, plugin_api=2), "p")


def test_what_is_added_in_code_has_the_name_even_when_added_late() -> None:
    records = [PluginRecord("a", "acme", "1", "acme_plugin", "/")]
    registry = Registry("nobody.servers", find_records=lambda group: records)
    assert registry.names() == ["a"]
    registry.add(Server(name="a", run=RUN))
    assert registry.find("a").run == RUN
    assert [(item.name, type(item.error)) for item in registry.listing()] == [("a", type(None)), ("a", NameClash)]


def test_options_that_take_the_launchers_flags_are_a_bad_description() -> None:
    @dataclass(frozen=True)
    class Greedy:
        version: str = ""

    launcher = HyperKube("km", group="nobody.servers")
    launcher.add_server(Server(name="a", run=RUN, options=Greedy))
    with pytest.raises(DescriptionError, match="the flag --version is the launcher's"):
        launcher.parse("a", [])


def test_a_launchers_own_servers_do_not_share_a_name() -> None:
    launcher = HyperKube("km", group="nobody.servers")
    launcher.add_server(Server(name="a", run=RUN, aliases=("b",)))
    with pytest.raises(NameClash, match="'b' is taken by server 'a'"):
        launcher.add_server(Server(name="b", run=RUN))
    with pytest.raises(NameClash, match="command of the launcher"):
        launcher.add_server(Server(name="run", run=RUN))


@pytest.mark.parametrize("ending", ["", "raise OSError"])
def test_no_garbage_is_looked_for_while_a_plugin_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "looking", raising=False)
    (tmp_path / "looking.py").write_text(f"import gc, builtins\nbuiltins.looked = gc.isenabled()\n{ending}\n")
    monkeypatch.setattr(builtins, "looked", None, raising=False)
    with suppress(PluginLoadError):
        import_from("looking", "a")
    assert builtins.looked is False  # type: ignore[attr-defined]
    assert gc.isenabled()
