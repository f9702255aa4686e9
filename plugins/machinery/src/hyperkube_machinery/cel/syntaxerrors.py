"""The words for tokens that don't fit, by the rules of the grammar.

What expects what is the same as in the parser of cel-go, so that clients read the same messages. It is used only when
an expression is known to be wrong, and builds nothing. Source: the grammar of cel-go, CEL.g4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hyperkube_machinery.cel.depth import deep_calls
from hyperkube_machinery.cel.lexing import END, Token
from hyperkube_machinery.cel.recovery import ENDS, NOTHING, Enough, Reader, Tokens
from hyperkube_machinery.cel.source import Problem

__all__ = ["find_syntax_errors"]

_LITERALS = frozenset(("true", "false", "null", "NUM_FLOAT", "NUM_INT", "NUM_UINT", "STRING", "BYTES"))
_EXPRESSION = frozenset(("[", "{", "(", ".", "-", "!", "IDENTIFIER")) | _LITERALS
_MEMBER = _EXPRESSION - {"!"}
_NAME = frozenset(("IDENTIFIER", "ESC_IDENTIFIER"))
_RELATIONS = frozenset(("<", "<=", ">=", ">", "==", "!=", "in"))
_CALCULATIONS = frozenset(("*", "/", "%", "+", "-"))
_PRODUCTS = frozenset(("*", "/", "%"))


def find_syntax_errors(text: str, tokens: Sequence[Token], depth_limit: int) -> list[Problem]:
    """What is wrong with tokens of `text` that are no expression."""
    finder = _Grammar(text, tokens, depth_limit)
    try:
        with deep_calls():
            finder.start()
    except Enough as exc:
        if exc.args:
            finder.problems.append((-1, str(exc)))
    return finder.problems


class _Grammar(Reader):
    def __init__(self, text: str, tokens: Sequence[Token], depth_limit: int) -> None:
        super().__init__(text, tokens)
        self._depth_limit = depth_limit

    def start(self) -> None:
        with self.rule():
            self.call(self._expr, END)
            self.match(END, ENDS)

    def _expr(self) -> None:
        self.depth += 1
        if self.depth > self._depth_limit:
            raise Enough(f"expression recursion limit exceeded: {self._depth_limit}")
        self._ternary()
        self.depth -= 1

    def _ternary(self) -> None:
        self.call(self._or, "?", NOTHING)
        if self.kind == "?":
            self.match("?", _EXPRESSION)
            self.call(self._or, ":")
            self.match(":", _EXPRESSION)
            self.call(self._expr, NOTHING)

    def _or(self) -> None:
        self.call(self._and, "||", NOTHING)
        while self.kind == "||":
            self.match("||", _EXPRESSION)
            self.call(self._and, "||", NOTHING)

    def _and(self) -> None:
        self.call(self._relation, "&&", NOTHING)
        while self.kind == "&&":
            self.match("&&", _EXPRESSION)
            self.call(self._relation, "&&", NOTHING)

    def _relation(self) -> None:
        self.call(self._calc, *_RELATIONS, NOTHING)
        while self.kind in _RELATIONS:
            self.match(self.kind, _EXPRESSION)
            self.call(lambda: self.call(self._calc, *_RELATIONS, NOTHING), *_RELATIONS, NOTHING)

    def _calc(self) -> None:
        self.call(self._unary, *_CALCULATIONS, NOTHING)
        while self.kind in _CALCULATIONS:
            product = self.kind in _PRODUCTS
            self.match(self.kind, _EXPRESSION)
            self.call(self._factor if product else self._term, *_CALCULATIONS, NOTHING)

    def _term(self) -> None:
        self.call(self._unary, *_CALCULATIONS, NOTHING)
        while self.kind in _PRODUCTS:
            self.match(self.kind, _EXPRESSION)
            self.call(self._factor, *_CALCULATIONS, NOTHING)

    def _factor(self) -> None:
        self.call(self._unary, *_CALCULATIONS, NOTHING)

    def _unary(self) -> None:
        self.sync(_EXPRESSION, "unary")
        kind = self.kind
        if kind == "-":
            following = self.token(1).kind
            if following not in _MEMBER:
                raise self.no_way(1, "unary")
            if following in ("NUM_INT", "NUM_FLOAT"):
                self.call(self._member, NOTHING)
                return
        elif kind not in _EXPRESSION:
            raise self.no_way(0, "unary")
        if kind in ("!", "-"):
            self._signs(kind)
        self.call(self._member, NOTHING)

    def _signs(self, kind: str) -> None:
        while True:
            self.match(kind, _MEMBER | {kind})
            self.sync_loop(_MEMBER | {kind})
            if self.kind != kind:
                return
            following = self.token(1).kind
            if kind == "-" and following in ("NUM_INT", "NUM_FLOAT"):
                continue
            if kind == "-" and following not in _MEMBER:
                raise self.no_way(1, "signs")

    def _member(self) -> None:
        self.call(self._primary, ".", "[", NOTHING)
        while self.kind in (".", "["):
            if self.kind == "[":
                self._index()
            else:
                self._dotted()

    def _index(self) -> None:
        self.match("[", _EXPRESSION | {"?"})
        self.sync(_EXPRESSION | {"?"}, "index")
        if self.kind == "?":
            self.match("?", _EXPRESSION)
        self.call(self._expr, "]")
        self.match("]", frozenset((".", "[", NOTHING)))

    def _dotted(self) -> None:
        following = self.token(1).kind
        if following not in _NAME and following != "?":
            raise self.no_way(1, "member")
        self.match(".", _NAME | {"?"})
        if following == "IDENTIFIER" and self.token(1).kind == "(":
            self.match("IDENTIFIER", frozenset("("))
            self._arguments(frozenset((".", "[", NOTHING)))
            return
        if following == "?":
            self.match("?", _NAME)
        self.call(self._escaped_name, ".", "[", NOTHING)

    def _escaped_name(self) -> None:
        if self.kind not in _NAME:
            raise self.no_way(0, "name") if self.recovering else self.mismatched(_NAME, "name")
        self.match(self.kind, ENDS)

    def _arguments(self, after: Tokens) -> None:
        self.match("(", _EXPRESSION | {")"})
        self.sync(_EXPRESSION | {")"}, "arguments")
        if self.kind in _EXPRESSION:
            self.call(self._expressions, ")")
        self.match(")", after)

    def _expressions(self) -> None:
        self.call(self._expr, ",", NOTHING)
        while self.kind == ",":
            self.match(",", _EXPRESSION)
            self.call(self._expr, ",", NOTHING)

    def _primary(self) -> None:
        self.sync(_MEMBER, "primary")
        kind = self.kind
        if kind in (".", "IDENTIFIER"):
            self._named()
        elif kind == "(":
            self.match("(", _EXPRESSION)
            self.call(self._expr, ")")
            self.match(")", ENDS)
        elif kind == "[":
            self.match("[", _EXPRESSION | {"?", ",", "]"})
            self._entries(_EXPRESSION | {"?"}, self._optional_expression, "]")
        elif kind == "{":
            self.match("{", _EXPRESSION | {"?", ",", "}"})
            self._entries(_EXPRESSION | {"?"}, self._map_entry, "}")
        elif kind in _LITERALS or kind == "-":
            self.call(self._literal, NOTHING)
        else:
            raise self.no_way(0, "primary")

    def _named(self) -> None:
        ahead = 0
        if self.kind == ".":
            ahead = 1
            if self.token(1).kind != "IDENTIFIER":
                raise self.no_way(1, "primary")
        end = ahead
        while self.token(end + 1).kind == "." and self.token(end + 2).kind == "IDENTIFIER":
            end += 2
        is_object = self.token(end + 1).kind == "{"
        for _ in range((end if is_object else ahead) + 1):
            self.recovering = False
            self.consume()
        if is_object:
            self.match("{", _NAME | {"?", ",", "}"})
            self._entries(_NAME | {"?"}, self._field, "}")
        elif self.kind == "(":
            self._arguments(ENDS)

    def _entries(self, first: Tokens, read: Callable[[], None], end: str) -> None:
        """What stands between brackets or braces, with a comma that may follow the last."""
        self.sync(first | {",", end}, f"entries {end}")
        if self.kind in first:
            self.call(lambda: self._entry_list(first, read), ",", end)
        self.sync(frozenset((",", end)), f"comma {end}")
        if self.kind == ",":
            self.match(",", frozenset(end))
        self.match(end, ENDS)

    def _entry_list(self, first: Tokens, read: Callable[[], None]) -> None:
        read()
        while self.kind == "," and self.token(1).kind in first:
            self.match(",", first)
            read()

    def _optional_expression(self) -> None:
        self.call(self._optional, ",", NOTHING)

    def _optional(self) -> None:
        self.sync(_EXPRESSION | {"?"}, "optional")
        if self.kind == "?":
            self.match("?", _EXPRESSION)
        self.call(self._expr, NOTHING)

    def _map_entry(self) -> None:
        self.call(self._optional, ":")
        self.match(":", _EXPRESSION)
        self.call(self._expr, ",", NOTHING)

    def _field(self) -> None:
        self.call(self._field_name, ":")
        self.match(":", _EXPRESSION)
        self.call(self._expr, ",", NOTHING)

    def _field_name(self) -> None:
        self.sync(_NAME | {"?"}, "field")
        if self.kind == "?":
            self.match("?", _NAME)
        self.call(self._escaped_name, NOTHING)

    def _literal(self) -> None:
        if self.kind == "-":
            self.consume()
            if self.kind not in ("NUM_INT", "NUM_FLOAT"):
                raise self.mismatched(frozenset(("NUM_INT", "NUM_FLOAT")), "literal")
        self.recovering = False
        self.consume()
