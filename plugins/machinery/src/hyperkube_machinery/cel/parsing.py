"""From tokens to expressions, macros expanded.

The parser goes by precedence and gives up at the first token that doesn't fit; `syntaxerrors` then finds the words
for what is wrong. Source: cel-go's grammar CEL.g4 and parser/parser.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from hyperkube_machinery.cel.ast import (
    Call,
    CreateList,
    CreateMap,
    CreateObject,
    Expression,
    Ident,
    Literal,
    MapEntry,
    ObjectEntry,
    Select,
)
from hyperkube_machinery.cel.depth import levels_of, room_for
from hyperkube_machinery.cel.expansion import Allowance, Expander, MacroError
from hyperkube_machinery.cel.lexing import END, Token, tokenize
from hyperkube_machinery.cel.literals import BadLiteral, read_bytes, read_double, read_int, read_string, read_uint
from hyperkube_machinery.cel.macros import Macro
from hyperkube_machinery.cel.source import Problem, Source
from hyperkube_machinery.cel.syntaxerrors import find_syntax_errors

__all__ = ["MacroTable", "parse"]

MacroTable = Mapping[tuple[str, int | None, bool], Macro]
"""Macros by name, number of arguments (None: any) and whether they have a target."""

_RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"),
        *("namespace", "null", "package", "return", "true", "var", "void", "while"),
    )
)
_RELATIONS = {"<": "_<_", "<=": "_<=_", ">=": "_>=_", ">": "_>_", "==": "_==_", "!=": "_!=_", "in": "@in"}
_SUMS = {"+": "_+_", "-": "_-_"}
_PRODUCTS = {"*": "_*_", "/": "_/_", "%": "_%_"}

T = TypeVar("T")


class _Unexpected(Exception):
    """A token that fits nowhere."""


class _TooDeep(Exception):
    """The expression is nested too deeply; the text says so."""


def parse(source: Source, macros: MacroTable, *, size_limit: int, depth_limit: int) -> Expression:
    """The expression. Raises CompileError with everything that is wrong."""
    if len(source.text) > size_limit:
        message = f"expression code point size exceeds limit: size: {len(source.text)}, limit {size_limit}"
        raise source.failure([(-1, message)])
    tokens, problems = tokenize(source.text)
    parser = _Parser(tokens, macros, depth_limit)
    try:
        with room_for(tokens):
            expression = parser.parse()
    except _Unexpected:
        raise source.failure([*problems, *find_syntax_errors(source.text, tokens, depth_limit)]) from None
    except _TooDeep as exc:
        raise source.failure([*problems, (-1, str(exc))]) from None
    if len(tokens) > depth_limit and levels_of(expression) > depth_limit:
        problems.append((-1, "max recursion depth exceeded"))
    problems += parser.problems
    if problems:
        raise source.failure(problems)
    return expression


class _Parser:
    __slots__ = ("_allowance", "_at", "_depth", "_depth_limit", "_macros", "_token", "_tokens", "problems")

    def __init__(self, tokens: list[Token], macros: MacroTable, depth_limit: int) -> None:
        self._tokens = tokens
        self._macros = macros
        self._at = 0
        self._token = tokens[0]
        self._depth_limit = depth_limit
        self._depth = 0  # of expressions within expressions
        self._allowance = Allowance()
        self.problems: list[Problem] = []

    def parse(self) -> Expression:
        expression = self._expression()
        if self._token.kind != END:
            raise _Unexpected
        return expression

    # Tokens

    def _next(self) -> Token:
        token = self._token
        self._at += 1
        self._token = self._tokens[self._at]
        return token

    def _take(self, kind: str) -> Token:
        if self._token.kind != kind:
            raise _Unexpected
        return self._next()

    def _taken(self, kind: str) -> bool:
        if self._token.kind != kind:
            return False
        self._next()
        return True

    def _report(self, offset: int, message: str) -> Expression:
        self.problems.append((offset, message))
        return Literal(offset, None)

    # Operators

    def _expression(self) -> Expression:
        self._depth += 1
        if self._depth > self._depth_limit:
            raise _TooDeep(f"expression recursion limit exceeded: {self._depth_limit}")
        condition = self._logical("||", "_||_")
        if self._token.kind == "?":
            at = self._next().offset
            chosen = self._logical("||", "_||_")
            self._take(":")
            otherwise = self._expression()
            condition = Call(at, "_?_:_", (condition, chosen, otherwise))
        self._depth -= 1
        return condition

    def _logical(self, operator: str, function: str) -> Expression:
        below = self._relation if operator == "&&" else self._conjunction
        terms = [below()]
        offsets: list[int] = []
        while self._token.kind == operator:
            offsets.append(self._next().offset)
            terms.append(below())
        return terms[0] if not offsets else _balanced(function, terms, offsets, 0, len(offsets) - 1)

    def _conjunction(self) -> Expression:
        return self._logical("&&", "_&&_")

    def _relation(self) -> Expression:
        return self._chain(_RELATIONS, self._sum)

    def _sum(self) -> Expression:
        return self._chain(_SUMS, self._product)

    def _product(self) -> Expression:
        return self._chain(_PRODUCTS, self._unary)

    def _chain(self, operators: Mapping[str, str], below: Callable[[], Expression]) -> Expression:
        """Operators of one precedence, which hold what is on their left."""
        left = below()
        if self._token.kind not in operators:
            return left
        while (function := operators.get(self._token.kind)) is not None:
            at = self._next().offset
            left = Call(at, function, (left, below()))
        return left

    def _unary(self) -> Expression:
        kind = self._token.kind
        if kind not in ("!", "-"):
            return self._member()
        first = self._token.offset
        count = 0
        while self._token.kind == kind:
            literal = kind == "-" and self._tokens[self._at + 1].kind in ("NUM_INT", "NUM_FLOAT")
            if literal and count == 0:
                return self._member()
            self._next()
            count += 1
        operand = self._member()
        if count % 2 == 0:
            return operand
        return self._call(first, "!_" if kind == "!" else "-_", None, [operand])

    # Members

    def _member(self) -> Expression:
        operand = self._primary()
        while True:
            kind = self._token.kind
            if kind == ".":
                operand = self._selected(operand)
            elif kind == "[":
                operand = self._indexed(operand)
            else:
                return operand

    def _selected(self, operand: Expression) -> Expression:
        at = self._next().offset
        optional = self._taken("?")
        name = self._name(escaped=True)
        if optional:
            return Call(at, "_?._", (operand, Literal(name.offset, _unescaped(name))))
        if name.kind == "IDENTIFIER" and self._token.kind == "(":
            at = self._token.offset
            return self._call(at, name.text, operand, self._arguments())
        if name.kind == "ESC_IDENTIFIER":
            self._report(name.offset, "unsupported syntax: '`'")
        return Select(at, operand, _unescaped(name))

    def _indexed(self, operand: Expression) -> Expression:
        at = self._next().offset
        function = "_[?_]" if self._taken("?") else "_[_]"
        index = self._expression()
        self._take("]")
        return self._call(at, function, None, [operand, index])

    def _name(self, *, escaped: bool) -> Token:
        if escaped and self._token.kind == "ESC_IDENTIFIER":
            return self._next()
        return self._take("IDENTIFIER")

    def _arguments(self) -> list[Expression]:
        self._take("(")
        if self._taken(")"):
            return []
        found = [self._expression()]
        while self._taken(","):
            found.append(self._expression())
        self._take(")")
        return found

    # Primaries

    def _primary(self) -> Expression:
        token = self._token
        match token.kind:
            case "IDENTIFIER" | ".":
                return self._ident()
            case "(":
                self._next()
                inner = self._expression()
                self._take(")")
                return inner
            case "[":
                return self._list()
            case "{":
                at = self._next().offset
                return CreateMap(at, self._entries(self._map_entry))
        return self._literal()

    def _ident(self) -> Expression:
        start = self._token.offset
        dot = "." if self._taken(".") else ""
        name = self._take("IDENTIFIER")
        if self._creates_object():
            names = [name.text]
            while self._taken("."):
                names.append(self._take("IDENTIFIER").text)
            at = self._take("{").offset
            return CreateObject(at, dot + ".".join(names), self._entries(self._object_entry))
        if name.text in _RESERVED:
            if self._token.kind == "(":
                self._arguments()
            return self._report(start, f"reserved identifier: {name.text}")
        if self._token.kind == "(":
            at = self._token.offset
            return self._call(at, dot + name.text, None, self._arguments())
        return Ident(name.offset, dot + name.text)

    def _creates_object(self) -> bool:
        """Whether a brace follows the name, or more names and a brace."""
        at = self._at
        while self._tokens[at].kind == "." and self._tokens[at + 1].kind == "IDENTIFIER":
            at += 2
        return self._tokens[at].kind == "{"

    def _list(self) -> Expression:
        at = self._take("[").offset
        elements: list[Expression] = []
        optional: list[int] = []
        while self._token.kind not in ("]", ","):
            if self._taken("?"):
                optional.append(len(elements))
            elements.append(self._expression())
            if not self._taken(","):
                break
            if self._token.kind == "]":
                break
        else:
            self._taken(",")
        self._take("]")
        return CreateList(at, elements, frozenset(optional))

    def _entries(self, read: Callable[[], T]) -> list[T]:
        """Entries, a comma that may follow the last, and the closing brace."""
        entries: list[T] = []
        if self._token.kind != "}" and not self._taken(","):
            entries.append(read())
            while self._taken(",") and self._token.kind != "}":
                entries.append(read())
        self._take("}")
        return entries

    def _map_entry(self) -> MapEntry:
        optional = self._taken("?")
        key = self._expression()
        at = self._take(":").offset
        return MapEntry(at, key, self._expression(), optional)

    def _object_entry(self) -> ObjectEntry:
        start = self._token.offset
        optional = self._taken("?")
        name = self._name(escaped=True)
        if name.kind == "ESC_IDENTIFIER":
            self._report(start, "unsupported syntax: '`'")
        at = self._take(":").offset
        return ObjectEntry(at, _unescaped(name), self._expression(), optional)

    def _literal(self) -> Expression:
        token = self._next() if self._token.kind != END else self._token
        try:
            match token.kind:
                case "-":
                    number = self._token
                    if number.kind not in ("NUM_INT", "NUM_FLOAT"):
                        raise _Unexpected
                    self._next()
                    read = read_int if number.kind == "NUM_INT" else read_double
                    return Literal(token.offset, read("-" + number.text))
                case "NUM_INT":
                    return Literal(token.offset, read_int(token.text))
                case "NUM_UINT":
                    return Literal(token.offset, read_uint(token.text))
                case "NUM_FLOAT":
                    return Literal(token.offset, read_double(token.text))
                case "STRING":
                    return Literal(token.offset, read_string(token.text))
                case "BYTES":
                    return Literal(token.offset, read_bytes(token.text))
                case "true" | "false":
                    return Literal(token.offset, token.kind == "true")
                case "null":
                    return Literal(token.offset, None)
        except BadLiteral as exc:
            return self._report(token.offset, str(exc))
        raise _Unexpected

    # Macros

    def _call(self, at: int, function: str, target: Expression | None, arguments: list[Expression]) -> Expression:
        member = target is not None
        macro = self._macros.get((function, len(arguments), member)) or self._macros.get((function, None, member))
        if macro is None:
            return Call(at, function, arguments, target)
        try:
            expanded = macro.expand(Expander(at, self._allowance), target, arguments)
        except MacroError as exc:
            return self._report(at if exc.node is None else exc.node.offset, str(exc))
        return Call(at, function, arguments, target) if expanded is None else expanded


def _balanced(function: str, terms: list[Expression], offsets: list[int], low: int, high: int) -> Expression:
    """A tree of few levels of operators that may be regrouped."""
    middle = (low + high + 1) // 2
    left = terms[middle] if middle == low else _balanced(function, terms, offsets, low, middle - 1)
    right = terms[middle + 1] if middle == high else _balanced(function, terms, offsets, middle + 1, high)
    return Call(offsets[middle], function, (left, right))


def _unescaped(name: Token) -> str:
    return name.text[1:-1] if name.kind == "ESC_IDENTIFIER" else name.text
