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
        resource = attributes.kind.resource
        sort = (resource.group, resource.resource, attributes.subresource, attributes.operation.value)
        steps = self._mutating.get(sort)
        if steps is None:
            steps = self._mutating[sort] = tuple(
                plugin.admit for plugin in self._asked(attributes) if type(plugin).admit is not Plugin.admit
            )
        for step in steps:
            waiting = step(attributes)
            if waiting is not None:
                await waiting
        if attributes.reinvoke and not attributes.reinvoked:
            attributes.reinvoked = True
            for step in steps:
                waiting = step(attributes)
                if waiting is not None:
                    await waiting

    async def validate(self, attributes: Attributes) -> None:
        """Let every plugin see the object as it would be stored."""
        resource = attributes.kind.resource
        sort = (resource.group, resource.resource, attributes.subresource, attributes.operation.value)
        steps = self._validating.get(sort)
        if steps is None:
            steps = self._validating[sort] = tuple(
                plugin.validate for plugin in self._asked(attributes) if type(plugin).validate is not Plugin.validate
            )
        for step in steps:
            waiting = step(attributes)
            if waiting is not None:
                await waiting

    def _asked(self, attributes: Attributes) -> Iterable[Plugin]:
        resource, operation = attributes.kind.resource, attributes.operation
        return (plugin for plugin in self.plugins if plugin.handles(resource, operation, attributes.subresource))
