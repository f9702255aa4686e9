"""Command lines as Go programs read them (pflag): which flags were given, with what text, and what is left.

`--flag=value`, `--flag value`, `--bool`, `--bool=false`, `-v=2`, `-v 2`, `-v2`, `--` before words that are no flags,
and `_` for `-` in names. What the texts mean is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from hyperkube_core._errors import UnknownFlag, UsageError


class FlagLike(Protocol):
    """What the reader of a command line has to know of a flag."""

    @property
    def flag(self) -> str: ...

    @property
    def short(self) -> str: ...

    @property
    def optional_value(self) -> str | None:
        """What the flag alone means; None where a value must follow."""


class Flag(NamedTuple):
    """A flag that belongs to no options class: the launcher's own."""

    flag: str
    short: str = ""
    optional_value: str | None = None
    help: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()


class Given(NamedTuple):
    """A flag as it was given."""

    flag: str
    """Its name, with dashes within and none before."""
    text: str
    written: str
    """How it stood on the command line: `--secure_port`, `-v`."""


@dataclass(slots=True)
class Parsed:
    """What a command line holds."""

    given: list[Given] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    """The words that are no flags; all that follows the first of them, if the reading stopped there."""

    def last(self, flag: str) -> str | None:
        """The text that `flag` has in the end."""
        return next((given.text for given in reversed(self.given) if given.flag == flag), None)

    def all(self, flag: str) -> list[str]:
        return [given.text for given in self.given if given.flag == flag]


FindMore = Callable[[], Mapping[str, FlagLike]]


class FlagSet:
    """The flags that a command line may hold.

    `more` finds further ones, asked only when a flag is met that is not among `flags`.
    """

    def __init__(self, flags: Iterable[FlagLike], more: FindMore | None = None) -> None:
        self._flags: dict[str, FlagLike] = {}
        self._shorts: dict[str, FlagLike] = {}
        self._more = more
        for item in flags:
            self._add(item)

    def _add(self, item: FlagLike) -> None:
        self._flags.setdefault(item.flag, item)
        if item.short:
            self._shorts.setdefault(item.short, item)

    def parse(self, args: Sequence[str], *, interspersed: bool = True) -> Parsed:
        """Read `args`; where not `interspersed`, up to the first word that is no flag.

        Raises UnknownFlag, and UsageError for a flag without its value.
        """
        parsed = Parsed()
        position = 0
        while position < len(args):
            arg = args[position]
            if arg == "--":
                parsed.rest += args[position + 1 :]
                break
            if len(arg) < 2 or arg[0] != "-":
                if not interspersed:
                    parsed.rest += args[position:]
                    break
                parsed.rest.append(arg)
                position += 1
            else:
                position += self.read(args, position, parsed)
        return parsed

    def read(self, args: Sequence[str], position: int, parsed: Parsed) -> int:
        """Read the flag at `position` into `parsed`; returns how many of `args` it took."""
        arg = args[position]
        following = args[position + 1] if position + 1 < len(args) else None
        return self._long(arg, following, parsed) if arg.startswith("--") else self._short(arg, following, parsed)

    def _long(self, arg: str, following: str | None, parsed: Parsed) -> int:
        written, equals, text = arg.partition("=")
        name = written[2:].replace("_", "-")
        if not name or name[0] == "-":
            raise UsageError(f"bad flag syntax: {arg}")
        item = self._find(name)
        if item is None:
            raise UnknownFlag(written, self.suggestions(name))
        if equals or item.optional_value is not None:
            parsed.given.append(Given(item.flag, text if equals else item.optional_value or "", written))
            return 1
        if following is None:
            raise UsageError(f"flag needs an argument: {written}")
        parsed.given.append(Given(item.flag, following, written))
        return 2

    def _short(self, arg: str, following: str | None, parsed: Parsed) -> int:
        letters = arg[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            item = self._find_short(letter)
            if item is None:
                raise UnknownShorthand(letter, arg)
            written = f"-{letter}"
            if letters.startswith("="):
                parsed.given.append(Given(item.flag, letters[1:], written))
                return 1
            if item.optional_value is not None:
                parsed.given.append(Given(item.flag, item.optional_value, written))
            elif letters:
                parsed.given.append(Given(item.flag, letters, written))
                return 1
            elif following is None:
                raise UsageError(f"flag needs an argument: '{letter}' in {arg}")
            else:
                parsed.given.append(Given(item.flag, following, written))
                return 2
        return 1

    def _find(self, name: str) -> FlagLike | None:
        if name not in self._flags:
            self._find_more()
        return self._flags.get(name)

    def _find_short(self, letter: str) -> FlagLike | None:
        if letter not in self._shorts:
            self._find_more()
        return self._shorts.get(letter)

    def _find_more(self) -> None:
        if self._more is not None:
            more, self._more = self._more, None
            for item in more().values():
                self._add(item)

    def suggestions(self, name: str) -> tuple[str, ...]:
        """Flags, with dashes, that `name` may have been meant to be."""
        self._find_more()
        return tuple(f"--{match}" for match in near(name, self._flags))


def near(word: str, words: Iterable[str]) -> tuple[str, ...]:
    """Those of `words` that `word` may have been meant to be, best first."""
    from difflib import get_close_matches  # only ever needed on the way to an error

    candidates = list(words)
    close = get_close_matches(word, candidates, n=3, cutoff=0.7)
    if len(word) >= 3:
        close += [item for item in candidates if item.startswith(word) and item not in close]
    return tuple(close[:3])


class UnknownShorthand(UnknownFlag):
    """The command has no flag of that letter."""

    def __init__(self, letter: str, arg: str) -> None:
        super().__init__(f"-{letter}")
        self.args = (f"unknown shorthand flag: '{letter}' in {arg}",)
