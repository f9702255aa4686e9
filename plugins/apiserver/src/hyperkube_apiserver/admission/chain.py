"""The plugins one after another. Source: k8s.io/apiserver/pkg/admission (chain.go, reinvocation.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hyperkube_apiserver.admission.plugin import Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes

__all__ = ["Chain"]

Step = Callable[[Attributes], Waiting]
_Sort = tuple[str, str, str, str]
"""A sort of request: group, resource, subresource, operation."""


class Chain:
    """Asks, of all plugins, those that have a say in a request. The first refusal is the answer.

    Which they are depends on the sort of the request alone, and is found out once.
    """

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._mutating: dict[_Sort, tuple[Step, ...]] = {}
        self._validating: dict[_Sort, tuple[Step, ...]] = {}

    async def admit(self, attributes: Attributes) -> None:
        """Let every plugin change the object; all of them once more if one of them asks for that."""
        sort = _sort(attributes)
        steps = self._mutating.get(sort)
        if steps is None:
            asked = self._asked(attributes)
            steps = self._mutating[sort] = tuple(one.admit for one in asked if type(one).admit is not Plugin.admit)
        await _ask(steps, attributes)
        if attributes.reinvoke and not attributes.reinvoked:
            attributes.reinvoked = True
            await _ask(steps, attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Let every plugin see the object as it would be stored."""
        sort = _sort(attributes)
        steps = self._validating.get(sort)
        if steps is None:
            asked = self._asked(attributes)
            steps = tuple(one.validate for one in asked if type(one).validate is not Plugin.validate)
            self._validating[sort] = steps
        await _ask(steps, attributes)

    def _asked(self, attributes: Attributes) -> Iterable[Plugin]:
        resource, operation = attributes.kind.resource, attributes.operation
        return (plugin for plugin in self.plugins if plugin.handles(resource, operation, attributes.subresource))


def _sort(attributes: Attributes) -> _Sort:
    resource = attributes.kind.resource
    return resource.group, resource.resource, attributes.subresource, attributes.operation


async def _ask(steps: Iterable[Step], attributes: Attributes) -> None:
    for step in steps:
        waiting = step(attributes)
        if waiting is not None:
            await waiting
