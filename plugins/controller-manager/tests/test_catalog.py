"""Which controllers --controllers asks for, and what is behind their names."""

from __future__ import annotations

from importlib import import_module
from inspect import iscoroutinefunction

import pytest

from hyperkube_controller_manager.catalog import ABSENT, CONTROLLERS, Entry, check_names, chosen
from hyperkube_controller_manager.flags import foreign_flags, treatments
from hyperkube_controller_manager.options import Options


def entry(name: str, *aliases: str, on: bool = True) -> Entry:
    return Entry(name=f"{name}-controller", target="m:run", summary="", account=name, aliases=aliases, on=on)


ENTRIES = [entry("a", "aa"), entry("b"), entry("c", on=False)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["*"], "a b"),
        ([], ""),
        (["*", "-a-controller"], "b"),
        (["*", "-aa"], "b"),
        (["*", "c-controller"], "a b c"),
        (["aa"], "a"),
        (["-a-controller", "*"], "b"),
        (["a-controller", "-a-controller"], "a"),  # the first word decides
        (["-b-controller"], ""),
    ],
)
def test_words_choose_controllers(wanted: list[str], expected: str) -> None:
    found = [one.name.removesuffix("-controller") for one in chosen(wanted, ENTRIES)]
    assert found == expected.split()


def test_names_that_are_wrong_or_not_here_are_told_apart() -> None:
    check_names(["*", "-ttl", "-horizontal-pod-autoscaler-controller", "garbagecollector"])
    with pytest.raises(ValueError, match='"nonsense" is not in the list of known controllers'):
        check_names(["nonsense"])
    with pytest.raises(ValueError, match='"nonsense" is not in the list'):
        check_names(["*", "-nonsense"])
    with pytest.raises(ValueError, match='the controller "ttl" is not among those of this server'):
        check_names(["*", "ttl"])


def test_every_controller_is_where_its_entry_says() -> None:
    for one in CONTROLLERS:
        module, _, name = one.target.partition(":")
        assert iscoroutinefunction(getattr(import_module(module), name)), one.name


def test_no_name_means_two_controllers() -> None:
    names = [name for one in CONTROLLERS for name in (one.name, *one.aliases)]
    names += [name for row in ABSENT.items() for name in row if name]
    assert len(names) == len(set(names))


def test_every_flag_that_is_said_to_be_honoured_is_an_option() -> None:
    fields = {name.replace("_", "-") for name in Options.__dataclass_fields__}
    assert {name for name, treatment in treatments().items() if treatment == "honoured"} == fields
    assert not fields & set(foreign_flags())
