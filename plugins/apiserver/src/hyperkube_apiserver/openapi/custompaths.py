"""What can be asked of custom resources at which path.

It differs from what is told of built-in kinds: of encodings, patches and options there are fewer, and of watches there
is nothing.
Source: k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.openapi import parameters
from hyperkube_apiserver.openapi.parameters import Parameter
from hyperkube_apiserver.openapi.paths import Body, Operation, Path, camel, capitalized, path_of

__all__ = ["custom_paths", "model_name"]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_SCALE = "io.k8s.api.autoscaling.v1.Scale"
_OBJECTS = ("application/json", "application/yaml")
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")


def model_name(group: str, version: str, kind: str) -> str:
    """The name of a kind's schema: `com.example.v1.Widget`."""
    return ".".join((*reversed(group.split(".")), version, kind))


def custom_paths(kind: Kind) -> Iterator[Path]:
    """The paths of one version of a custom resource."""
    resource = kind.resource
    root = f"/apis/{resource.group}/{resource.version}"
    name = f"{resource.kind}ForAllNamespaces"
    maker = _Maker(kind)
    if resource.namespaced:
        yield path_of(f"{root}/{resource.resource}", [maker.list(name)], (parameters.PRETTY,))
        root += "/namespaces/{namespace}"
        name = f"Namespaced{resource.kind}"
    else:
        name = resource.kind
    namespace = (parameters.NAMESPACE,) if resource.namespaced else ()
    path = f"{root}/{resource.resource}"
    around = (parameters.PRETTY, *namespace)
    yield path_of(path, [maker.list(name), maker.create(name), maker.delete_collection(name)], around)
    path, around = f"{path}/{{name}}", (*around, parameters.name(kind))
    yield path_of(path, [*maker.object(name, maker.model), maker.delete(name)], around)
    for subresource in kind.subresources:
        model = _SCALE if subresource.name == "scale" else maker.model
        operations = list(maker.object(name, model, subresource.name))
        yield path_of(f"{path}/{subresource.name}", operations, around)


@dataclass(slots=True)
class _Maker:
    """Makes the operations of one kind; each is given what identifiers call it: `NamespacedWidget`."""

    kind: Kind

    @property
    def model(self) -> str:
        resource = self.kind.resource
        return model_name(resource.group, resource.version, resource.kind)

    def list(self, name: str) -> Operation:
        resource = self.kind.resource
        listed = model_name(resource.group, resource.version, self.kind.list_kind)
        text = f"list {resource.kind} objects, or watch them"
        return self._make("get", "list", name, text, {200: listed}, parameters.LISTING, action="list")

    def create(self, name: str) -> Operation:
        answers = dict.fromkeys((200, 201, 202), self.model)
        text = f"create one {self.kind.resource.kind}"
        return self._make("post", "create", name, text, answers, parameters.WRITING, body=Body(self.model))

    def delete_collection(self, name: str) -> Operation:
        text = f"delete all {self.kind.resource.kind} objects that are selected"
        answers = {200: f"{_META}.Status"}
        given, name = parameters.LISTING, f"Collection{name}"
        return self._make("delete", "delete", name, text, answers, given, action="deletecollection")

    def delete(self, name: str) -> Operation:
        text = f"delete one {self.kind.resource.kind}"
        answers = dict.fromkeys((200, 202), f"{_META}.Status")
        body = Body(f"{_META}.DeleteOptions", required=False)
        return self._make("delete", "delete", name, text, answers, parameters.DELETING, body=body)

    def object(self, name: str, model: str, subresource: str = "") -> Iterator[Operation]:
        """Reading and changing one object, or what `model` tells of it."""
        name += capitalized(subresource)
        meant = f"{subresource} of one {self.kind.resource.kind}" if subresource else f"one {self.kind.resource.kind}"
        yield self._make("get", "read", name, f"read {meant}", {200: model}, parameters.GETTING)
        answers = {200: model, 201: model}
        yield self._make("put", "replace", name, f"replace {meant}", answers, parameters.WRITING, body=Body(model))
        yield self._make(
            "patch",
            "patch",
            name,
            f"change parts of {meant}, or apply it",
            {200: model},
            parameters.PATCHING,
            body=Body(f"{_META}.Patch"),
            consumes=_PATCHES,
        )

    def _make(
        self,
        method: str,
        verb: str,
        name: str,
        text: str,
        answers: dict[int, str],
        given: tuple[Parameter, ...],
        *,
        action: str = "",
        body: Body | None = None,
        consumes: tuple[str, ...] = _OBJECTS,
    ) -> Operation:
        resource = self.kind.resource
        group = camel(resource.group.removesuffix(".k8s.io"))
        return Operation(
            method=method,
            identifier=f"{verb}{capitalized(group)}{capitalized(resource.version)}{name}",
            description=text,
            tag=f"{group}_{resource.version}",
            answers=answers,
            produces=_OBJECTS,
            consumes=consumes,
            body=body,
            parameters=given,
            action=action or method,
            group=resource.group,
            version=resource.version,
            kind=resource.kind,
        )
