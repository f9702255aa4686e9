"""What can be asked at which path, made from the table of kinds.

Source: k8s.io/apiserver/pkg/endpoints/installer.go and openapi, k8s.io/kube-openapi/pkg/builder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from hyperkube_apiserver.kinds import Kind, Subresource
from hyperkube_apiserver.openapi import parameters
from hyperkube_apiserver.openapi.parameters import Parameter
from hyperkube_apiserver.openapi.paths import (
    OBJECTS,
    TEXT,
    Body,
    Operation,
    Path,
    camel,
    capitalized,
    document_path,
    path_of,
)

__all__ = ["paths_of"]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_STREAMS = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_ANY = ("*/*",)
_CONNECTS = ("get", "post")
_PROXIES = ("delete", "get", "head", "options", "patch", "post", "put")
# Whose DELETE is told to answer with the object, where that of others answers with a Status.
_ANSWER_DELETED = frozenset(
    {
        "csidrivers",
        "csinodes",
        "deviceclasses",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "resourceclaims",
        "resourceclaimtemplates",
        "resourceslices",
        "resourcequotas",
        "serviceaccounts",
        "services",
        "storageclasses",
        "volumeattachments",
        "volumeattributesclasses",
    }
)


def paths_of(group: str, version: str, kinds: Iterable[Kind], definitions: dict[str, str]) -> Iterator[Path]:
    """The paths of one group version. `definitions` tells the definition of `apps/v1 Deployment`."""
    maker = _GroupVersion(group, version, definitions)
    yield maker.resources()
    for kind in kinds:
        yield from maker.of_kind(kind)


@dataclass(slots=True)
class _Target:
    """An object or a collection that operations are for."""

    path: str
    name: str  # as identifiers call it: NamespacedPodStatus
    kind: str
    group: str
    version: str
    definition: str
    parameters: tuple[Parameter, ...] = ()  # those that stand in the path
    operations: list[Operation] = field(default_factory=list)


class _GroupVersion:
    def __init__(self, group: str, version: str, definitions: dict[str, str]) -> None:
        self._group, self._version, self._definitions = group, version, definitions
        self._root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        name = camel(group.removesuffix(".k8s.io") or "core")
        self._prefix = capitalized(name) + capitalized(version)
        self._tag = f"{name}_{version}"

    def resources(self) -> Path:
        text = f"the resources of {self._root.split('/', 2)[2]}"
        identifier = f"get{self._prefix}APIResources"
        return document_path(f"{self._root}/", identifier, self._tag, f"{_META}.APIResourceList", text)

    def of_kind(self, kind: Kind) -> Iterator[Path]:
        resource = kind.resource
        verbs = resource.verbs
        namespaced = (parameters.NAMESPACE,) if resource.namespaced else ()
        inside = f"/namespaces/{{namespace}}/{resource.resource}" if namespaced else f"/{resource.resource}"
        scope = "Namespaced" if namespaced else ""
        collection = self._target(kind, inside, f"{scope}{resource.kind}", namespaced)
        if "create" in verbs:
            self._write(collection, "post")
        if "list" in verbs:
            self._list(collection, kind)
        if "deletecollection" in verbs:
            self._delete_collection(collection, kind)
        yield _path(collection)
        item = self._target(kind, f"{inside}/{{name}}", f"{scope}{resource.kind}", (parameters.name(kind), *namespaced))
        self._object(item, verbs, answers_deleted=resource.resource in _ANSWER_DELETED)
        if item.operations:
            yield _path(item)
        for subresource in kind.subresources:
            yield from self._subresource(kind, subresource, item)
        if "list" in verbs and namespaced:
            everywhere = self._target(kind, f"/{resource.resource}", f"{resource.kind}ForAllNamespaces")
            self._list(everywhere, kind)
            yield _path(everywhere)
        if "watch" in verbs:
            yield from self._watches(kind, collection, item)

    def _target(self, kind: Kind, path: str, name: str, in_path: tuple[Parameter, ...] = ()) -> _Target:
        resource = kind.resource
        whole = (*in_path, parameters.PRETTY)
        return _Target(self._root + path, name, resource.kind, resource.group, resource.version, kind.definition, whole)

    def _subresource(self, kind: Kind, subresource: Subresource, item: _Target) -> Iterator[Path]:
        group, version = (
            (subresource.group, subresource.version) if subresource.version else (self._group, self._version)
        )
        gv = f"{group}/{version}" if group else version
        target = _Target(
            f"{item.path}/{subresource.name}",
            item.name + capitalized(subresource.name),
            subresource.kind,
            group,
            version,
            self._definitions.get(f"{gv} {subresource.kind}", ""),
            item.parameters,
        )
        options = parameters.OPTIONS.get(subresource.kind)
        if options is not None:
            yield from self._connect(target, options, proxies=subresource.kind.endswith("ProxyOptions"))
        elif subresource.name == "log":
            self._add(
                target,
                "get",
                f"read{self._prefix}{target.name}",
                "read the log of the pod",
                {200: TEXT},
                produces=("text/plain", *OBJECTS),
                parameters=parameters.OPTIONS["PodLogOptions"],
            )
            yield _path(target)
        else:
            if "create" in subresource.verbs:
                self._write(target, "post")
            self._object(target, subresource.verbs)
            if target.operations:
                yield _path(target)

    def _connect(self, target: _Target, options: tuple[Parameter, ...], *, proxies: bool) -> Iterator[Path]:
        target.parameters = (*(one for one in target.parameters if one.where == "path"), *options)
        variants = [target]
        if proxies:
            path, name = f"{target.path}/{{path}}", f"{target.name}WithPath"
            in_path = (*target.parameters, parameters.PATH)
            variants.append(replace(target, path=path, name=name, parameters=in_path, operations=[]))
        for variant in variants:
            for method in _PROXIES if proxies else _CONNECTS:
                identifier = f"connect{self._prefix}{capitalized(method)}{variant.name}"
                text = f"connect {method.upper()} requests to it"
                self._add(variant, method, identifier, text, {200: TEXT}, action="connect", produces=_ANY)
            yield _path(variant)

    def _watches(self, kind: Kind, collection: _Target, item: _Target) -> Iterator[Path]:
        """The deprecated paths below `watch`."""
        resource = kind.resource
        targets = [(replace(collection, name=f"{collection.name}List"), "watchlist"), (replace(item), "watch")]
        if resource.namespaced:
            everywhere = self._target(kind, f"/{resource.resource}", f"{resource.kind}ListForAllNamespaces")
            targets.append((everywhere, "watchlist"))
        for target, action in targets:
            target.operations = []
            target.path = f"{self._root}/watch{target.path.removeprefix(self._root)}"
            self._add(
                target,
                "get",
                f"watch{self._prefix}{target.name}",
                f"watch {resource.kind} objects; deprecated, list them with `watch` instead",
                {200: f"{_META}.WatchEvent"},
                action=action,
                produces=(*OBJECTS, *_STREAMS),
                parameters=parameters.LISTING,
            )
            yield _path(target)

    def _object(self, target: _Target, verbs: tuple[str, ...], *, answers_deleted: bool = False) -> None:
        if "get" in verbs:
            text = f"read one {target.kind}"
            self._add(target, "get", f"read{self._prefix}{target.name}", text, {200: target.definition})
        if "update" in verbs:
            self._write(target, "put")
        if "patch" in verbs:
            self._add(
                target,
                "patch",
                f"patch{self._prefix}{target.name}",
                f"change parts of one {target.kind}, or apply it",
                {200: target.definition, 201: target.definition},
                consumes=_PATCHES,
                body=Body(f"{_META}.Patch"),
                parameters=parameters.PATCHING,
            )
        if "delete" in verbs:
            answer = target.definition if answers_deleted else f"{_META}.Status"
            self._add(
                target,
                "delete",
                f"delete{self._prefix}{target.name}",
                f"delete one {target.kind}",
                {200: answer, 202: answer},
                body=Body(f"{_META}.DeleteOptions", required=False),
                parameters=parameters.DELETING,
            )

    def _write(self, target: _Target, method: str) -> None:
        verb, text, codes = {
            "post": ("create", f"create one {target.kind}", (200, 201, 202)),
            "put": ("replace", f"replace one {target.kind}", (200, 201)),
        }[method]
        self._add(
            target,
            method,
            f"{verb}{self._prefix}{target.name}",
            text,
            dict.fromkeys(codes, target.definition),
            body=Body(target.definition),
            parameters=parameters.WRITING,
        )

    def _list(self, target: _Target, kind: Kind) -> None:
        self._add(
            target,
            "get",
            f"list{self._prefix}{target.name}",
            f"list {target.kind} objects, or watch them",
            {200: f"{kind.definition}List"},
            action="list",
            produces=(*OBJECTS, *_STREAMS),
            parameters=parameters.LISTING,
        )

    def _delete_collection(self, target: _Target, kind: Kind) -> None:
        self._add(
            target,
            "delete",
            f"delete{self._prefix}Collection{target.name}",
            f"delete all {target.kind} objects that are selected",
            {200: f"{_META}.Status"},
            action="deletecollection",
            body=Body(f"{_META}.DeleteOptions", required=False),
            parameters=parameters.DELETING_MANY,
        )

    def _add(
        self,
        target: _Target,
        method: str,
        identifier: str,
        description: str,
        answers: dict[int, str],
        *,
        action: str = "",
        produces: tuple[str, ...] = OBJECTS,
        consumes: tuple[str, ...] = _ANY,
        body: Body | None = None,
        parameters: tuple[Parameter, ...] = (),
    ) -> None:
        target.operations.append(
            Operation(
                method=method,
                identifier=identifier,
                description=description,
                tag=self._tag,
                answers=answers,
                produces=produces,
                consumes=consumes,
                body=body,
                parameters=parameters,
                action=action or method,
                group=target.group,
                version=target.version,
                kind=target.kind,
            )
        )


def _path(target: _Target) -> Path:
    return path_of(target.path, target.operations, target.parameters)
