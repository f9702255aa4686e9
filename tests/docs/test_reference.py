"""The reference pages name all that there is, and nothing that isn't."""

from __future__ import annotations

import inspect
import re
from collections import Counter, defaultdict

import pytest
from _wheels import ROOT

import hyperkube_controller_manager.flags
import hyperkube_core
import hyperkube_core.testing
import hyperkube_kubelet.flags
import hyperkube_scheduler.flags
from hyperkube_apiserver.admissionplugins import DEFAULT_ON, IDLE, ORDER
from hyperkube_apiserver.flags import treatments
from hyperkube_apiserver.kinds import load_kinds
from hyperkube_controller_manager.catalog import ABSENT, CONTROLLERS
from hyperkube_core import HyperKube, HyperkubeError
from hyperkube_scheduler.profiles import ABSENT as MISSING_STEPS
from hyperkube_scheduler.profiles import DEFAULTS

REFERENCE = ROOT / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


def test_the_plugin_api_page_has_every_public_name_and_no_other() -> None:
    named = re.findall(r"^\.\. (?:auto\w+|py:data):: (\w+)", page("plugin-api"), re.MULTILINE)
    assert sorted(named) == sorted(hyperkube_core.__all__)


@pytest.mark.parametrize("module", [hyperkube_core, hyperkube_core.testing])
def test_every_public_name_exists_and_says_what_it_is(module: object) -> None:
    names: list[str] = module.__all__  # type: ignore[attr-defined]
    assert names == sorted(names, key=lambda name: (name.upper() != name, name[0].islower(), name))
    undocumented = [
        name
        for name in names
        if (inspect.isclass(value := getattr(module, name)) or inspect.isfunction(value)) and not inspect.getdoc(value)
    ]
    assert undocumented == []


def test_the_exit_codes_page_has_every_error_behind_its_number() -> None:
    rows = {
        name: status.strip()
        for status, errors in re.findall(r"^\| (\S+(?: \+ n)?) \|.*\| (.*) \|$", page("exit-codes"), re.MULTILINE)
        for name in re.findall(r"`(\w+)`", errors)
    }
    errors = {
        name: value
        for name in hyperkube_core.__all__
        if inspect.isclass(value := getattr(hyperkube_core, name)) and issubclass(value, HyperkubeError)
    }
    assert set(rows) == set(errors)
    wrong = {name for name, status in rows.items() if status not in ("n", str(errors[name].exit_code))}
    assert wrong == set()


def test_the_command_line_page_has_every_flag_and_command_of_the_launcher() -> None:
    text = page("command-line")
    flags = {f"--{flag.flag}" for flag in HyperKube().flags()}
    documented = set(re.findall(r"(--[a-z-]+)", text.partition("## Commands of the launcher")[0]))
    assert flags <= documented
    from hyperkube_core._owncommands import COMMANDS

    commands = re.search(r"## Commands of the launcher\n(.*?)```", text, re.DOTALL)
    assert commands is not None
    assert set(re.findall(r"^\| `(\w+)", commands[1], re.MULTILINE)) == set(COMMANDS)


def test_the_api_server_page_counts_its_flags() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \|", page("apiserver"), re.MULTILINE)
    assert {treatment: int(count) for treatment, count in rows} == Counter(treatments().values())


def test_the_controller_manager_page_counts_its_flags() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \|", page("controller-manager"), re.MULTILINE)
    counted = Counter(hyperkube_controller_manager.flags.treatments().values())
    assert {treatment: int(count) for treatment, count in rows} == counted


def test_the_kubelet_page_counts_its_flags() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \|", page("kubelet"), re.MULTILINE)
    counted = Counter(hyperkube_kubelet.flags.treatments().values())
    assert {treatment: int(count) for treatment, count in rows} == counted


def test_the_scheduler_page_counts_its_flags() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \|", page("scheduler"), re.MULTILINE)
    counted = Counter(hyperkube_scheduler.flags.treatments().values())
    assert {treatment: int(count) for treatment, count in rows} == counted


def test_the_scheduler_page_lists_its_steps_with_their_weights_and_those_that_are_missing() -> None:
    here = re.findall(r"^\| `(\w+)` \| .+ \| (\d*) ?\|$", page("scheduler"), re.MULTILINE)
    assert {name: int(weight or 0) for name, weight in here} == DEFAULTS
    assert [name for name, _ in here] == list(DEFAULTS)
    missing = page("scheduler").partition("These are not here")[2].partition("Extenders")[0]
    assert re.findall(r"^\| `(\w+)` \|", missing, re.MULTILINE) == list(MISSING_STEPS)


def test_the_controller_manager_page_lists_what_there_is_and_what_is_not() -> None:
    text = page("controller-manager")
    here = re.findall(r"^\| `([\w-]+)` \| (.*) \| (.+) \| `([\w-]+)` \|$", text, re.MULTILINE)
    assert here == [
        (one.name, ", ".join(f"`{alias}`" for alias in one.aliases), one.summary, one.account) for one in CONTROLLERS
    ]
    absent = re.findall(r"^\| `([\w-]+-controller)` \| [^|`]*(?:`[^`]+`[^|]*)*\|$", text, re.MULTILINE)
    assert absent == sorted(ABSENT)


def test_the_api_server_page_lists_its_kinds() -> None:
    kinds: dict[str, list[str]] = defaultdict(list)
    for (group, version, _), kind in load_kinds().items():
        kinds[f"{group}/{version}" if group else version].append(kind.resource.kind)
    rows = re.findall(r"^\| `([\w./]+v\d\w*|v1)` \| ([\w, ]+) \|$", page("apiserver"), re.MULTILINE)
    assert {group: names.split(", ") for group, names in rows} == kinds


def test_the_admission_page_has_every_plugin_in_its_place() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", page("admission"), re.MULTILINE)
    assert [name for name, _ in rows] == list(ORDER)
    for name, state in rows:
        expected = "idle" if name in IDLE else "on" if name in DEFAULT_ON else "off"
        assert state == expected, name
