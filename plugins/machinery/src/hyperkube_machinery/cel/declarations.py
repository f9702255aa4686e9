"""Everything that an expression may name: variables, constants, types, functions, macros."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.cel.library import Constant, Function, Library, Overload
from hyperkube_machinery.cel.macros import Macro
from hyperkube_machinery.cel.types import ObjectType, Type, TypeProvider, type_of

__all__ = ["Declarations", "Named", "Vocabulary"]


@dataclass(frozen=True, slots=True)
class Named:
    """What a name means: a variable, or a value known beforehand."""

    name: str
    type: Type
    known: bool = False
    value: Any = None


class Vocabulary:
    """What libraries bring, put together once for all environments that have them."""

    __slots__ = ("constants", "functions", "macros", "type_names")

    def __init__(self, libraries: Iterable[Library]) -> None:
        self.constants: dict[str, Constant] = {}
        self.functions: dict[str, Function] = {}
        self.macros: dict[tuple[str, int | None, bool], Macro] = {}
        self.type_names: dict[str, Type] = {}
        for library in libraries:
            self.constants.update(library.constants)
            self.type_names.update(library.types)
            for macro in library.macros:
                self.macros[macro.name, macro.arguments, macro.member] = macro
            for function in library.functions:
                self._declare(function)

    def _declare(self, function: Function) -> None:
        declared = self.functions.get(function.name)
        if declared is None:
            self.functions[function.name] = function
            return
        overloads: dict[str, Overload] = {each.id: each for each in declared.overloads}
        overloads.update((each.id, each) for each in function.overloads)
        self.functions[function.name] = Function(
            function.name, *overloads.values(), guarded=declared.guarded or function.guarded
        )


class Declarations:
    """Names of the whole environment; comprehensions' own variables are the checker's business."""

    __slots__ = ("_constants", "_provider", "_type_names", "_variables", "container", "functions", "macros")

    def __init__(
        self, variables: Mapping[str, Type], vocabulary: Vocabulary, provider: TypeProvider, container: str
    ) -> None:
        self.container = container
        self.functions = vocabulary.functions
        self.macros = vocabulary.macros
        self._constants = vocabulary.constants
        self._type_names = vocabulary.type_names
        self._provider = provider
        self._variables = variables

    def candidates(self, name: str) -> Iterator[str]:
        """What a name may mean, from the innermost namespace outwards."""
        if name.startswith("."):
            yield name[1:]
            return
        container = self.container
        while container:
            yield f"{container}.{name}"
            container = container.rpartition(".")[0]
        yield name

    def find(self, name: str) -> Named | None:
        for candidate in self.candidates(name):
            found = self._find_exactly(candidate)
            if found is not None:
                return found
        return None

    def _find_exactly(self, name: str) -> Named | None:
        variable = self._variables.get(name)
        if variable is not None:
            return Named(name, variable)
        constant = self._constants.get(name)
        if constant is not None:
            return Named(name, constant.type, known=True, value=constant.value)
        type = self.find_type_exactly(name)
        return None if type is None else Named(name, type_of(type), known=True, value=type)

    def find_type(self, name: str) -> tuple[str, Type] | None:
        """A type by its name, and the name in full."""
        for candidate in self.candidates(name):
            type = self.find_type_exactly(candidate)
            if type is not None:
                return candidate, type
        return None

    def find_type_exactly(self, name: str) -> Type | None:
        return self._type_names.get(name) or self._provider.get(name)

    def find_object(self, type: Type) -> ObjectType | None:
        """The object type of which `type` may be but the name."""
        return type if isinstance(type, ObjectType) else self._provider.get(type.name)

    def find_function(self, name: str) -> Function | None:
        for candidate in self.candidates(name):
            function = self.functions.get(candidate)
            if function is not None:
                return function
        return None
