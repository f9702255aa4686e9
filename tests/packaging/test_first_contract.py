"""The wheel that was built against the first plugin API runs under this core, byte for byte as it was.

Its sources lie beside it for reading. Neither is ever changed: what a later core adds gets a wheel of its own.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from _wheels import Environment

FOLDER = Path(__file__).parent / "first_contract"
WHEEL = FOLDER / "first_contract-1.0-py3-none-any.whl"
SHA256 = "fbe90b13420a78d1420b5a6e986267bbe8e7ae143cfe8ee1e279c891041105a1"
SERVERS = ["first-blocking", "first-command", "first-coroutine", "first-derived", "first-tool"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheels: Mapping[str, Path]) -> Environment:
    made = Environment.create(tmp_path_factory.mktemp("first"))
    made.install(wheels["hyperkube-core"], WHEEL)
    return made


def test_the_wheel_is_the_one_of_then() -> None:
    assert hashlib.sha256(WHEEL.read_bytes()).hexdigest() == SHA256


def test_the_sources_beside_it_are_what_it_was_built_from() -> None:
    with zipfile.ZipFile(WHEEL) as archive:
        built = {path: archive.read(path) for path in archive.namelist() if path.endswith(".py")}
    sources = {str(path.relative_to(FOLDER / "src")): path.read_bytes() for path in (FOLDER / "src").rglob("*.py")}
    assert built == sources


def test_every_server_is_listed_as_usable(installed: Environment) -> None:
    answer = installed.run("hk", "plugins", "--output", "json")
    assert answer.returncode == 0, answer.stderr
    text = json.dumps(json.loads(answer.stdout))
    assert [name for name in SERVERS if name not in text] == []
    assert "broken" not in text


def test_help_shows_the_servers_of_a_third_party(installed: Environment) -> None:
    answer = installed.run("hk", "--help")
    assert answer.returncode == 0
    for name in SERVERS:
        assert f"\n  {name}\n" in answer.stdout
    assert "    Greets, offers its greeting to the servers beside it" in answer.stdout


@pytest.mark.parametrize("name", ["first-coroutine", "kube-first"])
def test_a_coroutine_runs_with_its_options(installed: Environment, name: str) -> None:
    flags = ["--greeting=Hey", "-r", "2", "--polite", "--patience=1m30s", "--names=a,b", "--names", "c"]
    with installed.running("hk", name, *flags, until="ready") as server:
        status, output = server.stop()
    assert status == 0
    assert output.splitlines()[0].endswith(": Hey Hey a b c, please; a function on a thread; 90.0 s")
    assert "stopped" in output


def test_options_come_from_the_environment_and_from_a_file_too(installed: Environment, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"greeting": "file", "names": ["x"]}))
    variables = {"HK_FIRST_COROUTINE_GREETING": "variable"}
    with installed.running("hk", "first-coroutine", f"--config={file}", until="ready", **variables) as server:
        _, output = server.stop()
    assert "first-coroutine: variable x;" in output


def test_a_bad_value_is_refused_with_the_name_of_the_flag(installed: Environment) -> None:
    answer = installed.run("hk", "first-coroutine", "--repeat=0")
    assert answer.returncode == 2
    assert "--repeat" in answer.stderr


def test_a_blocking_server_runs_with_its_arguments(installed: Environment) -> None:
    with installed.running("hk", "first-blocking", "--any", "thing", until="ready") as server:
        status, output = server.stop()
    assert status == 0
    assert "first-blocking: ['--any', 'thing']; heard nobody (4)" in output
    assert "first-blocking: stopped" in output


def test_a_program_runs_with_its_arguments(installed: Environment) -> None:
    with installed.running("hk", "first-command", "--any", "thing", until="program: ready") as server:
        status, output = server.stop()
    assert status == 0
    assert "program: ['--any', 'thing']" in output
    assert "program: stopped" in output


def test_a_derived_server_has_its_own_defaults(installed: Environment) -> None:
    with installed.running("hk", "first-derived", "--repeat=2", until="ready") as server:
        _, output = server.stop()
    assert "Salut Salut;" in output


def test_a_tool_spawns_another_server_and_ends(installed: Environment) -> None:
    answer = installed.run("hk", "first-tool")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "first-tool: first-coroutine came and went"


def test_in_one_process_they_hand_each_other_things(installed: Environment) -> None:
    command = ["hk", "run", "first-blocking", "+", "first-coroutine", "--greeting=Hey"]
    with installed.running(*command, until="first-blocking: ready") as servers:
        status, output = servers.stop()
    assert status == 0
    assert "heard Hey" in output
    assert output.index("first-blocking: stopped") < output.index("first-coroutine: stopped")
