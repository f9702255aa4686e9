"""Plugins about claims, volumes, nodes, services and ingresses."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

STORAGE = "storageclasses.storage.k8s.io"
CLAIMS = "persistentvolumeclaims"
INGRESSES, INGRESS_CLASSES = "ingresses.networking.k8s.io", "ingressclasses.networking.k8s.io"


def claim(size: str = "1Gi", *, phase: str = "Bound", **spec: Any) -> Tree:
    resources = {"requests": {"storage": size}}
    return {"metadata": {"name": "c"}, "spec": {"resources": resources, **spec}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("address", "finalizer"),
    [
        ("persistentvolumes", "kubernetes.io/pv-protection"),
        ("persistentvolumeclaims", "kubernetes.io/pvc-protection"),
        ("volumeattributesclasses.storage.k8s.io", "kubernetes.io/vac-protection"),
    ],
)
async def test_what_may_be_in_use_is_protected(world: Any, address: str, finalizer: str) -> None:
    plugin, given = "StorageObjectInUseProtection", {"metadata": {"name": "x", "finalizers": ["a/b"]}, "spec": {}}
    made = await world.ask(plugin, address, given)
    assert made["metadata"]["finalizers"] == ["a/b", finalizer]
    assert await world.ask(plugin, address, made) == made
    assert await world.ask(plugin, address, given, old=given) == given
    assert await world.unaffected(plugin, address, given)


class TestDefaultClasses:
    async def test_a_claim_without_a_class_is_of_the_newest_default(self, world: Any) -> None:
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        old = {"storageclass.beta.kubernetes.io/is-default-class": "true"}
        for name, created, said in (
            ("z", "2026-01-01T00:00:00Z", default),
            ("b", "2026-01-02T00:00:00Z", default),
            ("a", "2026-01-02T00:00:00Z", old),
            ("newest", "2026-01-03T00:00:00Z", dict.fromkeys(default, "false")),
        ):
            world.add(STORAGE, name, metadata={"creationTimestamp": created, "annotations": said})
        made = await world.ask("DefaultStorageClass", CLAIMS, claim())
        assert made["spec"]["storageClassName"] == "a"
        assert await world.unaffected("DefaultStorageClass", CLAIMS, {**claim(), "metadata": _protected()})

    async def test_a_claim_that_names_a_class_or_none_keeps_it(self, world: Any) -> None:
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        world.add(STORAGE, "d", metadata={"annotations": annotations})
        named = {"volume.beta.kubernetes.io/storage-class": "other"}
        for given in (claim(storageClassName=""), {**claim(), "metadata": {"name": "c", "annotations": named}}):
            assert await world.ask("DefaultStorageClass", CLAIMS, given) == given

    async def test_without_a_default_there_is_no_class(self, world: Any) -> None:
        world.add(STORAGE, "plain")
        assert await world.ask("DefaultStorageClass", CLAIMS, claim()) == claim()

    async def test_an_ingress_without_a_class_is_of_the_default(self, world: Any) -> None:
        annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
        world.add(INGRESS_CLASSES, "d", metadata={"annotations": annotations})
        plain: Tree = {"metadata": {"name": "i"}, "spec": {}}
        made = await world.ask("DefaultIngressClass", INGRESSES, plain)
        assert made["spec"]["ingressClassName"] == "d"
        old = {"metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}}
        for given in (old, {"metadata": {"name": "i"}, "spec": {"ingressClassName": "x"}}):
            assert await world.ask("DefaultIngressClass", INGRESSES, given) == given
        assert await world.unaffected("DefaultIngressClass", INGRESSES, plain)


def _protected() -> Tree:
    return {"name": "c", "finalizers": ["kubernetes.io/pvc-protection"]}


class TestPersistentVolumeClaimResize:
    async def test_a_bound_claim_grows_where_its_class_lets_it(self, world: Any) -> None:
        world.add(STORAGE, "s", allowVolumeExpansion=True)
        old, new = claim(storageClassName="s"), claim("2Gi", storageClassName="s")
        await world.ask("PersistentVolumeClaimResize", CLAIMS, new, old=old)
        await world.ask("PersistentVolumeClaimResize", CLAIMS, claim(), old=claim("1024Mi"))

    @pytest.mark.parametrize(
        ("phase", "name", "why"),
        [
            ("Pending", "s", "Only bound persistent volume claims can be expanded"),
            ("Bound", "fixed", "only dynamically provisioned pvc can be resized and the storageclass that "),
            ("Bound", "none", "only dynamically provisioned pvc can be resized and the storageclass that "),
            ("Bound", "", "only dynamically provisioned pvc can be resized and the storageclass that "),
        ],
    )
    async def test_others_do_not_grow(self, world: Any, phase: str, name: str, why: str) -> None:
        world.add(STORAGE, "s", allowVolumeExpansion=True)
        world.add(STORAGE, "fixed", allowVolumeExpansion=False)
        old, new = (claim(size, phase=phase, storageClassName=name) for size in ("1Gi", "2Gi"))
        told = await world.refusal("PersistentVolumeClaimResize", CLAIMS, new, old=old)
        assert told.startswith(f'persistentvolumeclaims "c" is forbidden: {why}')
        assert await world.unaffected("PersistentVolumeClaimResize", CLAIMS, new, old=old)

    async def test_a_claim_that_changes_its_class_does_not_grow(self, world: Any) -> None:
        world.add(STORAGE, "s", allowVolumeExpansion=True)
        await world.refusal(
            "PersistentVolumeClaimResize", CLAIMS, claim("2Gi", storageClassName="s"), old=claim(storageClassName="t")
        )


class TestTaintNodesByCondition:
    async def test_a_new_node_is_not_ready(self, world: Any) -> None:
        taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
        node: Tree = {"metadata": {"name": "n"}, "spec": {"taints": [{**taint, "effect": "NoExecute"}]}}
        made = await world.ask("TaintNodesByCondition", "nodes", node)
        assert made["spec"]["taints"] == [*node["spec"]["taints"], taint]
        assert await world.ask("TaintNodesByCondition", "nodes", made) == made
        assert await world.ask("TaintNodesByCondition", "nodes", node, old=node) == node
        assert await world.unaffected("TaintNodesByCondition", "nodes", node)


class TestDenyServiceExternalIPs:
    async def test_no_service_gets_a_new_external_address(self, world: Any) -> None:
        def service(*addresses: str) -> Tree:
            return {"metadata": {"name": "s"}, "spec": {"externalIPs": list(addresses)}}

        plugin = "DenyServiceExternalIPs"
        told = await world.refusal(plugin, "services", service("1.1.1.1"))
        assert told == 'services "s" is forbidden: Use of external IPs is denied by admission control'
        await world.refusal(plugin, "services", service("1.1.1.1", "2.2.2.2"), old=service("1.1.1.1"))
        await world.ask(plugin, "services", service("1.1.1.1"), old=service("1.1.1.1", "2.2.2.2"))
        await world.ask(plugin, "services", {"metadata": {"name": "s"}})
        assert await world.unaffected(plugin, "services", service("1.1.1.1"))
