"""That what is kept as pods and volumes come and go is what they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.noderelations import NodeRelations, pod_references, volume_secrets
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.item import Event, Item
from hyperkube_machinery.encoding import encode

Tree = dict[str, Any]
NODES, NAMES = ("n1", "n2"), ("a", "b", "c")


class Cache:
    """A watch cache that a test writes to."""

    def __init__(self, group: str, resource: str) -> None:
        self.kind = load_kinds()[group, "v1", resource]
        self._items: dict[str, Item] = {}
        self._observers: list[Callable[[Event], None]] = []

    def get(self, key: str) -> Item | None:
        return self._items.get(key)

    def items(self) -> Iterator[Item]:
        yield from self._items.values()

    def observe(self, observer: Callable[[Event], None]) -> None:
        self._observers.append(observer)

    def write(self, namespace: str, name: str, spec: Tree | None) -> None:
        """Let an object be, or not be (None)."""
        key = self.kind.key(namespace, name)
        before, item = self._items.pop(key, None), None
        if spec is not None:
            body = encode({"metadata": {"name": name, "namespace": namespace}, "spec": spec})[1:]
            fields = {"spec.nodeName": spec.get("nodeName", "")}
            item = self._items[key] = Item(key, namespace, name, 1, body, {}, fields)
        for observer in self._observers if before or item else ():
            observer(Event(item, before, 1))


def caches() -> tuple[Cache, Cache, Cache, Cache]:
    return (
        Cache("", "pods"),
        Cache("", "persistentvolumes"),
        Cache("storage.k8s.io", "volumeattachments"),
        Cache("resource.k8s.io", "resourceslices"),
    )


pods = st.fixed_dictionaries(
    {
        "nodeName": st.sampled_from(["", *NODES]),
        "serviceAccountName": st.sampled_from(NAMES),
        "volumes": st.lists(
            st.one_of(
                st.sampled_from(NAMES).map(lambda name: {"name": "v", "secret": {"secretName": name}}),
                st.sampled_from(NAMES).map(lambda name: {"name": "v", "configMap": {"name": name}}),
                st.sampled_from(NAMES).map(lambda n: {"name": "v", "persistentVolumeClaim": {"claimName": n}}),
            ),
            max_size=3,
        ),
    }
)
volumes = st.builds(
    lambda claim, secret, namespace: {
        **({"claimRef": {"namespace": "ns", "name": claim}} if claim else {}),
        "csi": {"nodeStageSecretRef": {"namespace": namespace, "name": secret}},
    },
    st.sampled_from(["", *NAMES]),
    st.sampled_from(NAMES),
    st.sampled_from(["ns", "other"]),
)
attachments = st.sampled_from(NODES).map(lambda node: {"nodeName": node})
changes = st.one_of(
    st.tuples(st.just(0), st.just("ns"), st.sampled_from(NAMES), st.none() | pods),
    st.tuples(st.just(1), st.just(""), st.sampled_from(NAMES), st.none() | volumes),
    st.tuples(st.just(2), st.just(""), st.sampled_from(NAMES), st.none() | attachments),
)
QUESTIONS = [
    (node, resource, namespace, name)
    for node in NODES
    for resource in (
        *("pods", "secrets", "configmaps", "serviceaccounts", "persistentvolumeclaims", "persistentvolumes"),
        *("volumeattachments", "resourceslices"),
    )
    for namespace in ("ns", "other", "")
    for name in NAMES
]


def naive(world: tuple[Cache, ...], question: tuple[str, str, str, str]) -> bool:
    """The answer read off all objects there are, one after the other."""
    node, resource, namespace, name = question
    trees = [[decode_body(item.body) for item in cache.items()] for cache in world]
    mine = [pod for pod in trees[0] if pod["spec"]["nodeName"] == node]
    related = {("pods", "ns", pod["metadata"]["name"]) for pod in mine}
    related |= {(kind, "ns", each) for pod in mine for kind, each in pod_references(pod)}
    for volume in trees[1]:
        claim = volume["spec"].get("claimRef") or {}
        if ("persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", "")) in related:
            related.add(("persistentvolumes", "", volume["metadata"]["name"]))
            related |= {("secrets", *secret) for secret in volume_secrets(volume["spec"])}
    for each in trees[2]:
        if each["spec"]["nodeName"] == node:
            related.add(("volumeattachments", "", each["metadata"]["name"]))
    scope = "" if resource in ("persistentvolumes", "volumeattachments", "resourceslices") else namespace
    return (resource, scope, name) in related


@settings(max_examples=150)
@given(st.lists(st.one_of(changes, st.sampled_from(QUESTIONS)), max_size=30))
def test_the_answers_are_those_that_all_objects_come_to(steps: list[Any]) -> None:
    world = caches()
    relations = NodeRelations(*world)  # type: ignore[arg-type]
    for step in steps:
        if isinstance(step[0], int):
            which, namespace, name, spec = step
            world[which].write(namespace, name, spec)
        else:  # asking makes it find out what pods refer to
            assert relations.related(*step) is naive(world, step)
    later = NodeRelations(*world)  # type: ignore[arg-type]
    for question in QUESTIONS:
        wanted = naive(world, question)
        assert relations.related(*question) is wanted, question
        assert later.related(*question) is wanted, question


def test_nothing_is_kept_of_what_is_gone() -> None:
    world = caches()
    relations = NodeRelations(*world)  # type: ignore[arg-type]
    secret = {"csi": {"nodeStageSecretRef": {"namespace": "ns", "name": "s"}}, "claimRef": {"name": "a"}}
    world[0].write("ns", "a", {"nodeName": "n1"})
    world[1].write("", "v", secret)
    assert relations.related("n1", "pods", "ns", "a")
    world[0].write("ns", "a", None)
    world[1].write("", "v", None)
    kept = [vars(relations)[name] for name in ("_pods", "_volumes", "_secrets")]
    assert kept == [{}, {}, {}]
