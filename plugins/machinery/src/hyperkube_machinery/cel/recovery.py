"""Going on after a token that doesn't fit, as parsers do that ANTLR makes.

Such a parser tells of a wrong token by what it expected at that place, guesses whether a token is missing or one too
many, and otherwise skips what can't follow any of the rules it is in. Source: the error strategy of ANTLR's Go runtime,
with the limits that cel-go's parser/parser.go sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hyperkube_machinery.cel.lexing import END, Token, readable
from hyperkube_machinery.cel.source import Problem

__all__ = ["ENDS", "NOTHING", "Enough", "Reader", "Tokens", "Wrong"]

Tokens = frozenset[str]

NOTHING = ""
"""Among the tokens that may come next: the rule may end here."""
ENDS = frozenset((NOTHING,))

_MOST_RECOVERIES = 30
_LONGEST_RECOVERY = 256  # tokens
_MOST_REPORTS = 100
_IN_ORDER = {
    kind: place
    for place, kind in enumerate(
        (
            *(END, "==", "!=", "in", "<", "<=", ">=", ">", "&&", "||", "[", "]", "{", "}", "(", ")", ".", ",", "-"),
            *("!", "?", ":", "+", "*", "/", "%", "true", "false", "null", "NUM_FLOAT", "NUM_INT", "NUM_UINT"),
            *("STRING", "BYTES", "IDENTIFIER", "ESC_IDENTIFIER"),
        )
    )
}


class Wrong(Exception):
    """No way on within this rule: the message, and where."""

    def __init__(self, message: str, offset: int, state: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.state = state


class Enough(Exception):
    """Nothing more is told; the text, if any, says why."""


class Reader:
    """Goes through tokens; rules of a grammar are methods of classes derived from it."""

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self.depth = 0  # of expressions within expressions
        self._follow: list[Tokens] = []  # what may come after each rule that is being read
        self.recovering = False
        self._recoveries = 0
        self._last_wrong: tuple[int, set[str]] = (-1, set())
        self.problems: list[Problem] = []

    # Tokens

    def token(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    @property
    def kind(self) -> str:
        return self.token().kind

    def consume(self) -> None:
        if self.kind != END:
            self._at += 1

    def _expected(self, here: Tokens) -> Tokens:
        """What may come next, given what may within this rule."""
        found = here
        for follow in reversed(self._follow):
            if NOTHING not in found:
                return found
            found = (found - ENDS) | follow
        return (found - ENDS) | {END} if NOTHING in found else found

    def _recovery(self) -> Tokens:
        return frozenset().union(*self._follow) - ENDS

    # Reports

    def _report(self, message: str, offset: int) -> None:
        if self.recovering:
            return
        self.recovering = True
        self._tell(message, offset)

    def _tell(self, message: str, offset: int) -> None:
        if len(self.problems) >= _MOST_REPORTS:
            self.problems.append((offset, f"Syntax error: More than {_MOST_REPORTS} syntax errors"))
            raise Enough
        self.problems.append((offset, f"Syntax error: {message}"))

    def mismatched(self, here: Tokens, state: str) -> Wrong:
        token = self.token()
        message = f"mismatched input {_shown(token)} expecting {_set(self._expected(here))}"
        return Wrong(message, token.offset, state)

    def no_way(self, ahead: int, state: str) -> Wrong:
        first, last = self.token(), self.token(ahead)
        end = last.offset if last.kind == END else last.offset + len(last.text)
        text = END if first.kind == END else readable(self._text[first.offset : end])
        if text in (".true", ".false", ".null"):
            return Wrong(f"mismatched input '{text[1:]}' expecting IDENTIFIER", last.offset, state)
        return Wrong(f"no viable alternative at input '{_escaped(text)}'", last.offset, state)

    # Recovery

    def _attempt(self) -> None:
        if self._recoveries == _MOST_RECOVERIES:
            self._tell(f"error recovery attempt limit exceeded: {_MOST_RECOVERIES}", self.token().offset)
            raise Enough
        self._recoveries += 1

    def match(self, kind: str, after: Tokens) -> None:
        """Take the token, or guess why it isn't there; `after` is what may come after it within the rule."""
        if self.kind == kind:
            self.recovering = False
            self.consume()
            return
        here = frozenset((kind,))
        self._attempt()
        if self._delete(here):
            self.consume()
            return
        if self.kind in self._expected(after):
            token = self.token()
            self._report(f"missing {_name(kind)} at {_shown(token)}", token.offset)
            return
        raise self.mismatched(here, f"match {kind} {len(self._follow)}")

    def _delete(self, here: Tokens) -> bool:
        """Whether the next token is one too many, in which case it is skipped."""
        expected = self._expected(here)
        if self.token(1).kind not in expected:
            return False
        token = self.token()
        self._report(f"extraneous input {_shown(token)} expecting {_set(expected)}", token.offset)
        self.consume()
        self.recovering = False
        return True

    def sync(self, here: Tokens, state: str) -> None:
        """At a choice: make sure that the next token is one of those that may be chosen by."""
        if self.recovering or NOTHING in here or self.kind in here:
            return
        if not self._delete(here):
            raise self.mismatched(here, state)

    def sync_loop(self, here: Tokens) -> None:
        """After a round of a loop: skip what neither goes on with it nor follows it."""
        if self.recovering or self.kind in here:
            return
        token, expected = self.token(), self._expected(here)
        self._report(f"extraneous input {_shown(token)} expecting {_set(expected)}", token.offset)
        self._consume_until(expected | self._recovery())

    def _consume_until(self, kinds: Tokens) -> None:
        for _ in range(_LONGEST_RECOVERY + 1):
            if self.kind == END or self.kind in kinds:
                return
            self.consume()
        raise Enough(f"error recovery token lookahead limit exceeded: {_LONGEST_RECOVERY}")

    @contextmanager
    def rule(self) -> Iterator[None]:
        """Within a rule: what is wrong in it is told, and skipped."""
        try:
            yield
        except Wrong as wrong:
            self._report(str(wrong), wrong.offset)
            self._attempt()
            at, states = self._last_wrong
            if at == self._at and wrong.state in states:
                self.consume()
            if at != self._at:
                states = set()
            states.add(wrong.state)
            self._last_wrong = (self._at, states)
            self._consume_until(self._recovery())

    def call(self, rule: Callable[[], None], *follow: str) -> None:
        """Read a rule within another; `follow` is what may come after it there."""
        depth = self.depth
        self._follow.append(frozenset(follow))
        with self.rule():
            rule()
        self._follow.pop()
        self.depth = depth


def _name(kind: str) -> str:
    return kind if kind == END or kind.isupper() else f"'{kind}'"


def _set(kinds: Tokens) -> str:
    names = [_name(kind) for kind in sorted(kinds, key=_IN_ORDER.__getitem__)]
    return names[0] if len(names) == 1 else f"{{{', '.join(names)}}}"


def _shown(token: Token) -> str:
    return f"'{_escaped(token.text)}'"


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
