"""The words for tokens that don't fit.

A parser that ANTLR makes tells of a wrong token by what it expected at that place, guesses whether a token is missing
or one too many, and goes on. This one goes the same way through the grammar, so that clients read the same messages; it
is used only when an expression is known to be wrong, and builds nothing.

Source: the grammar of cel-go, CEL.g4, and the error strategy of ANTLR's Go runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hyperkube_machinery.cel.depth import deep_calls
from hyperkube_machinery.cel.lexing import END, Token, readable
from hyperkube_machinery.cel.source import Problem

__all__ = ["find_syntax_errors"]

_MOST_RECOVERIES = 30
_LONGEST_RECOVERY = 256  # tokens
_MOST_REPORTS = 100
_NOTHING = ""  # among the tokens that may come next: the rule may end here

Tokens = frozenset[str]

_LITERALS = frozenset(("true", "false", "null", "NUM_FLOAT", "NUM_INT", "NUM_UINT", "STRING", "BYTES"))
_EXPRESSION = frozenset(("[", "{", "(", ".", "-", "!", "IDENTIFIER")) | _LITERALS
_MEMBER = _EXPRESSION - {"!"}
_NAME = frozenset(("IDENTIFIER", "ESC_IDENTIFIER"))
_RELATIONS = frozenset(("<", "<=", ">=", ">", "==", "!=", "in"))
_CALCULATIONS = frozenset(("*", "/", "%", "+", "-"))
_PRODUCTS = frozenset(("*", "/", "%"))
_ENDS = frozenset((_NOTHING,))
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


def find_syntax_errors(text: str, tokens: Sequence[Token], depth_limit: int) -> list[Problem]:
    """What is wrong with tokens of `text` that are no expression."""
    finder = _Finder(text, tokens, depth_limit)
    try:
        with deep_calls():
            finder.start()
    except _Enough as exc:
        if exc.args:
            finder.problems.append((-1, str(exc)))
    return finder.problems


class _Wrong(Exception):
    """No way on within this rule: the message (None: it was told), and where."""

    def __init__(self, message: str, offset: int, state: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.state = state


class _Enough(Exception):
    """Nothing more is told; the text, if any, says why."""


class _Finder:
    def __init__(self, text: str, tokens: Sequence[Token], depth_limit: int) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._depth_limit = depth_limit
        self._follow: list[Tokens] = []  # what may come after each rule that is being read
        self._recovering = False
        self._recoveries = 0
        self._last_wrong: tuple[int, set[str]] = (-1, set())
        self.problems: list[Problem] = []

    # Tokens

    def _token(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    @property
    def _kind(self) -> str:
        return self._token().kind

    def _consume(self) -> None:
        if self._kind != END:
            self._at += 1

    def _expected(self, here: Tokens) -> Tokens:
        """What may come next, given what may within this rule."""
        found = here
        for follow in reversed(self._follow):
            if _NOTHING not in found:
                return found
            found = (found - _ENDS) | follow
        return (found - _ENDS) | {END} if _NOTHING in found else found

    def _recovery(self) -> Tokens:
        return frozenset().union(*self._follow) - _ENDS

    # Reports

    def _report(self, message: str, offset: int) -> None:
        if self._recovering:
            return
        self._recovering = True
        self._tell(message, offset)

    def _tell(self, message: str, offset: int) -> None:
        if len(self.problems) >= _MOST_REPORTS:
            self.problems.append((offset, f"Syntax error: More than {_MOST_REPORTS} syntax errors"))
            raise _Enough
        self.problems.append((offset, f"Syntax error: {message}"))

    def _mismatched(self, here: Tokens, state: str) -> _Wrong:
        token = self._token()
        message = f"mismatched input {_shown(token)} expecting {_set(self._expected(here))}"
        return _Wrong(message, token.offset, state)

    def _no_way(self, ahead: int, state: str) -> _Wrong:
        first, last = self._token(), self._token(ahead)
        end = last.offset if last.kind == END else last.offset + len(last.text)
        text = END if first.kind == END else readable(self._text[first.offset : end])
        if text in (".true", ".false", ".null"):
            return _Wrong(f"mismatched input '{text[1:]}' expecting IDENTIFIER", last.offset, state)
        return _Wrong(f"no viable alternative at input '{_escaped(text)}'", last.offset, state)

    # Recovery

    def _attempt(self) -> None:
        if self._recoveries == _MOST_RECOVERIES:
            self._tell(f"error recovery attempt limit exceeded: {_MOST_RECOVERIES}", self._token().offset)
            raise _Enough
        self._recoveries += 1

    def _match(self, kind: str, after: Tokens) -> None:
        """Take the token, or guess why it isn't there; `after` is what may come after it within the rule."""
        if self._kind == kind:
            self._recovering = False
            self._consume()
            return
        here = frozenset((kind,))
        self._attempt()
        if self._delete(here):
            self._consume()
            return
        if self._kind in self._expected(after):
            token = self._token()
            self._report(f"missing {_name(kind)} at {_shown(token)}", token.offset)
            return
        raise self._mismatched(here, f"match {kind} {len(self._follow)}")

    def _delete(self, here: Tokens) -> bool:
        """Whether the next token is one too many, in which case it is skipped."""
        expected = self._expected(here)
        if self._token(1).kind not in expected:
            return False
        token = self._token()
        self._report(f"extraneous input {_shown(token)} expecting {_set(expected)}", token.offset)
        self._consume()
        self._recovering = False
        return True

    def _sync(self, here: Tokens, state: str) -> None:
        """At a choice: make sure that the next token is one of those that may be chosen by."""
        if self._recovering or _NOTHING in here or self._kind in here:
            return
        if not self._delete(here):
            raise self._mismatched(here, state)

    def _sync_loop(self, here: Tokens) -> None:
        """After a round of a loop: skip what neither goes on with it nor follows it."""
        if self._recovering or self._kind in here:
            return
        token, expected = self._token(), self._expected(here)
        self._report(f"extraneous input {_shown(token)} expecting {_set(expected)}", token.offset)
        self._consume_until(expected | self._recovery())

    def _consume_until(self, kinds: Tokens) -> None:
        for _ in range(_LONGEST_RECOVERY + 1):
            if self._kind == END or self._kind in kinds:
                return
            self._consume()
        raise _Enough(f"error recovery token lookahead limit exceeded: {_LONGEST_RECOVERY}")

    @contextmanager
    def _rule(self) -> Iterator[None]:
        """Within a rule: what is wrong in it is told, and skipped."""
        try:
            yield
        except _Wrong as wrong:
            self._report(str(wrong), wrong.offset)
            self._attempt()
            at, states = self._last_wrong
            if at == self._at and wrong.state in states:
                self._consume()
            if at != self._at:
                states = set()
            states.add(wrong.state)
            self._last_wrong = (self._at, states)
            self._consume_until(self._recovery())

    def _call(self, rule: Callable[[], None], *follow: str) -> None:
        """Read a rule within another; `follow` is what may come after it there."""
        depth = self._depth
        self._follow.append(frozenset(follow))
        with self._rule():
            rule()
        self._follow.pop()
        self._depth = depth

    # Rules

    def start(self) -> None:
        with self._rule():
            self._call(self._expr, END)
            self._match(END, _ENDS)

    def _expr(self) -> None:
        self._depth += 1
        if self._depth > self._depth_limit:
            raise _Enough(f"expression recursion limit exceeded: {self._depth_limit}")
        self._ternary()
        self._depth -= 1

    def _ternary(self) -> None:
        self._call(self._or, "?", _NOTHING)
        if self._kind == "?":
            self._match("?", _EXPRESSION)
            self._call(self._or, ":")
            self._match(":", _EXPRESSION)
            self._call(self._expr, _NOTHING)

    def _or(self) -> None:
        self._call(self._and, "||", _NOTHING)
        while self._kind == "||":
            self._match("||", _EXPRESSION)
            self._call(self._and, "||", _NOTHING)

    def _and(self) -> None:
        self._call(self._relation, "&&", _NOTHING)
        while self._kind == "&&":
            self._match("&&", _EXPRESSION)
            self._call(self._relation, "&&", _NOTHING)

    def _relation(self) -> None:
        self._call(self._calc, *_RELATIONS, _NOTHING)
        while self._kind in _RELATIONS:
            self._match(self._kind, _EXPRESSION)
            self._call(lambda: self._call(self._calc, *_RELATIONS, _NOTHING), *_RELATIONS, _NOTHING)

    def _calc(self) -> None:
        self._call(self._unary, *_CALCULATIONS, _NOTHING)
        while self._kind in _CALCULATIONS:
            product = self._kind in _PRODUCTS
            self._match(self._kind, _EXPRESSION)
            self._call(self._factor if product else self._term, *_CALCULATIONS, _NOTHING)

    def _term(self) -> None:
        self._call(self._unary, *_CALCULATIONS, _NOTHING)
        while self._kind in _PRODUCTS:
            self._match(self._kind, _EXPRESSION)
            self._call(self._factor, *_CALCULATIONS, _NOTHING)

    def _factor(self) -> None:
        self._call(self._unary, *_CALCULATIONS, _NOTHING)

    def _unary(self) -> None:
        self._sync(_EXPRESSION, "unary")
        kind = self._kind
        if kind == "-":
            following = self._token(1).kind
            if following not in _MEMBER:
                raise self._no_way(1, "unary")
            if following in ("NUM_INT", "NUM_FLOAT"):
                self._call(self._member, _NOTHING)
                return
        elif kind not in _EXPRESSION:
            raise self._no_way(0, "unary")
        if kind in ("!", "-"):
            self._signs(kind)
        self._call(self._member, _NOTHING)

    def _signs(self, kind: str) -> None:
        while True:
            self._match(kind, _MEMBER | {kind})
            self._sync_loop(_MEMBER | {kind})
            if self._kind != kind:
                return
            following = self._token(1).kind
            if kind == "-" and following in ("NUM_INT", "NUM_FLOAT"):
                continue
            if kind == "-" and following not in _MEMBER:
                raise self._no_way(1, "signs")

    def _member(self) -> None:
        self._call(self._primary, ".", "[", _NOTHING)
        while self._kind in (".", "["):
            if self._kind == "[":
                self._index()
            else:
                self._dotted()

    def _index(self) -> None:
        self._match("[", _EXPRESSION | {"?"})
        self._sync(_EXPRESSION | {"?"}, "index")
        if self._kind == "?":
            self._match("?", _EXPRESSION)
        self._call(self._expr, "]")
        self._match("]", frozenset((".", "[", _NOTHING)))

    def _dotted(self) -> None:
        following = self._token(1).kind
        if following not in _NAME and following != "?":
            raise self._no_way(1, "member")
        self._match(".", _NAME | {"?"})
        if following == "IDENTIFIER" and self._token(1).kind == "(":
            self._match("IDENTIFIER", frozenset("("))
            self._arguments(frozenset((".", "[", _NOTHING)))
            return
        if following == "?":
            self._match("?", _NAME)
        self._call(self._escaped_name, ".", "[", _NOTHING)

    def _escaped_name(self) -> None:
        if self._kind not in _NAME:
            raise self._no_way(0, "name") if self._recovering else self._mismatched(_NAME, "name")
        self._match(self._kind, _ENDS)

    def _arguments(self, after: Tokens) -> None:
        self._match("(", _EXPRESSION | {")"})
        self._sync(_EXPRESSION | {")"}, "arguments")
        if self._kind in _EXPRESSION:
            self._call(self._expressions, ")")
        self._match(")", after)

    def _expressions(self) -> None:
        self._call(self._expr, ",", _NOTHING)
        while self._kind == ",":
            self._match(",", _EXPRESSION)
            self._call(self._expr, ",", _NOTHING)

    def _primary(self) -> None:
        self._sync(_MEMBER, "primary")
        kind = self._kind
        if kind in (".", "IDENTIFIER"):
            self._named()
        elif kind == "(":
            self._match("(", _EXPRESSION)
            self._call(self._expr, ")")
            self._match(")", _ENDS)
        elif kind == "[":
            self._match("[", _EXPRESSION | {"?", ",", "]"})
            self._entries(_EXPRESSION | {"?"}, self._optional_expression, "]")
        elif kind == "{":
            self._match("{", _EXPRESSION | {"?", ",", "}"})
            self._entries(_EXPRESSION | {"?"}, self._map_entry, "}")
        elif kind in _LITERALS or kind == "-":
            self._call(self._literal, _NOTHING)
        else:
            raise self._no_way(0, "primary")

    def _named(self) -> None:
        ahead = 0
        if self._kind == ".":
            ahead = 1
            if self._token(1).kind != "IDENTIFIER":
                raise self._no_way(1, "primary")
        end = ahead
        while self._token(end + 1).kind == "." and self._token(end + 2).kind == "IDENTIFIER":
            end += 2
        is_object = self._token(end + 1).kind == "{"
        for _ in range((end if is_object else ahead) + 1):
            self._recovering = False
            self._consume()
        if is_object:
            self._match("{", _NAME | {"?", ",", "}"})
            self._entries(_NAME | {"?"}, self._field, "}")
        elif self._kind == "(":
            self._arguments(_ENDS)

    def _entries(self, first: Tokens, read: Callable[[], None], end: str) -> None:
        """What stands between brackets or braces, with a comma that may follow the last."""
        self._sync(first | {",", end}, f"entries {end}")
        if self._kind in first:
            self._call(lambda: self._entry_list(first, read), ",", end)
        self._sync(frozenset((",", end)), f"comma {end}")
        if self._kind == ",":
            self._match(",", frozenset(end))
        self._match(end, _ENDS)

    def _entry_list(self, first: Tokens, read: Callable[[], None]) -> None:
        read()
        while self._kind == "," and self._token(1).kind in first:
            self._match(",", first)
            read()

    def _optional_expression(self) -> None:
        self._call(self._optional, ",", _NOTHING)

    def _optional(self) -> None:
        self._sync(_EXPRESSION | {"?"}, "optional")
        if self._kind == "?":
            self._match("?", _EXPRESSION)
        self._call(self._expr, _NOTHING)

    def _map_entry(self) -> None:
        self._call(self._optional, ":")
        self._match(":", _EXPRESSION)
        self._call(self._expr, ",", _NOTHING)

    def _field(self) -> None:
        self._call(self._field_name, ":")
        self._match(":", _EXPRESSION)
        self._call(self._expr, ",", _NOTHING)

    def _field_name(self) -> None:
        self._sync(_NAME | {"?"}, "field")
        if self._kind == "?":
            self._match("?", _NAME)
        self._call(self._escaped_name, _NOTHING)

    def _literal(self) -> None:
        if self._kind == "-":
            self._consume()
            if self._kind not in ("NUM_INT", "NUM_FLOAT"):
                raise self._mismatched(frozenset(("NUM_INT", "NUM_FLOAT")), "literal")
        self._recovering = False
        self._consume()


def _name(kind: str) -> str:
    return kind if kind == END or kind.isupper() else f"'{kind}'"


def _set(kinds: Tokens) -> str:
    names = [_name(kind) for kind in sorted(kinds, key=_IN_ORDER.__getitem__)]
    return names[0] if len(names) == 1 else f"{{{', '.join(names)}}}"


def _shown(token: Token) -> str:
    return f"'{_escaped(token.text)}'"


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
