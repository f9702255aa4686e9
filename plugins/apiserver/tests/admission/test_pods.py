"""Plugins about pods: priorities, tolerations, runtime classes, images, selectors, labels."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.admission import PLUGINS, AdmissionSettings
from hyperkube_apiserver.admission.tolerationsets import merge_tolerations
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

CLASSES = "priorityclasses.scheduling.k8s.io"
RUNTIMES = "runtimeclasses.node.k8s.io"


def pod(name: str = "p", **spec: Any) -> Tree:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec}}


class TestPriority:
    async def test_a_pod_without_a_class_has_priority_0(self, world: Any) -> None:
        spec = (await world.ask("Priority", "pods", pod()))["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
        assert "priorityClassName" not in spec

    async def test_a_pod_gets_the_priority_and_the_policy_of_its_class(self, world: Any) -> None:
        world.add(CLASSES, "high", value=1000, preemptionPolicy="Never")
        spec = (await world.ask("Priority", "pods", pod(priorityClassName="high")))["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")

    async def test_a_class_without_a_policy_leaves_the_pods(self, world: Any) -> None:
        world.add(CLASSES, "high", value=1000)
        assert "preemptionPolicy" not in (await world.ask("Priority", "pods", pod(priorityClassName="high")))["spec"]

    async def test_of_several_defaults_the_lowest_counts(self, world: Any) -> None:
        world.add(CLASSES, "more", value=7, globalDefault=True)
        world.add(CLASSES, "less", value=-3, globalDefault=True)
        world.add(CLASSES, "none", value=-9, globalDefault=False)
        spec = (await world.ask("Priority", "pods", pod()))["spec"]
        assert (spec["priorityClassName"], spec["priority"]) == ("less", -3)

    async def test_a_class_that_does_not_exist_is_refused(self, world: Any) -> None:
        told = await world.refusal("Priority", "pods", pod(priorityClassName="none"))
        assert told == 'pods "p" is forbidden: no PriorityClass with name none was found'

    async def test_a_pod_may_not_say_otherwise_than_its_class(self, world: Any) -> None:
        world.add(CLASSES, "high", value=1000, preemptionPolicy="Never")
        told = await world.refusal("Priority", "pods", pod(priorityClassName="high", priority=1))
        assert told == (
            'pods "p" is forbidden: the integer value of priority (1) must not be provided in pod spec; priority '
            "admission controller computed 1000 from the given PriorityClass name"
        )
        other = pod(priorityClassName="high", preemptionPolicy="PreemptLowerPriority")
        told = await world.refusal("Priority", "pods", other)
        assert told.endswith(
            "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority "
            "admission controller computed Never from the given PriorityClass name"
        )
        same = pod(priorityClassName="high", priority=1000, preemptionPolicy="Never")
        assert await world.ask("Priority", "pods", same) == same

    async def test_an_update_that_leaves_them_out_keeps_priority_and_policy(self, world: Any) -> None:
        old = pod(priority=5, preemptionPolicy="Never")
        spec = (await world.ask("Priority", "pods", pod(), old=old))["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (5, "Never")

    async def test_subresources_are_let_alone(self, world: Any) -> None:
        assert await world.ask("Priority", "pods", pod(), old=pod(), subresource="status") == pod()

    async def test_there_is_one_default_class(self, world: Any) -> None:
        first = world.add(CLASSES, "first", value=1, globalDefault=True)
        second = {"metadata": {"name": "second"}, "value": 2, "globalDefault": True}
        told = await world.refusal("Priority", CLASSES, second)
        assert told == (
            'priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass first is already marked as default'
            ". Only one default can exist"
        )
        await world.refusal("Priority", CLASSES, second, old={**second, "globalDefault": False})
        await world.ask("Priority", CLASSES, first, old=first)
        await world.ask("Priority", CLASSES, {**second, "globalDefault": False})

    async def test_without_the_plugin_nothing_of_that_happens(self, world: Any) -> None:
        assert await world.unaffected("Priority", "pods", pod(priorityClassName="none", priority=1))
        world.add(CLASSES, "first", value=1, globalDefault=True)
        second = {"metadata": {"name": "second"}, "globalDefault": True}
        assert await world.unaffected("Priority", CLASSES, second)


class TestDefaultTolerationSeconds:
    async def test_a_pod_stays_five_minutes_on_a_node_that_is_gone(self, world: Any) -> None:
        made = await world.ask("DefaultTolerationSeconds", "pods", pod())
        assert made["spec"]["tolerations"] == [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        ]

    async def test_flags_say_how_long(self, world: Any) -> None:
        world.settings = AdmissionSettings(not_ready_seconds=10, unreachable_seconds=20)
        made = await world.ask("DefaultTolerationSeconds", "pods", pod(), old=pod())
        assert [one["tolerationSeconds"] for one in made["spec"]["tolerations"]] == [10, 20]

    @pytest.mark.parametrize(
        ("given", "added"),
        [
            ({"operator": "Exists"}, 0),
            ({"operator": "Exists", "effect": "NoExecute"}, 0),
            ({"operator": "Exists", "effect": "NoSchedule"}, 2),
            ({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}, 1),
            ({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "operator": "Exists"}, 1),
            ({"key": "other", "operator": "Exists", "effect": "NoExecute"}, 2),
        ],
    )
    async def test_what_a_pod_says_counts(self, world: Any, given: Tree, added: int) -> None:
        made = await world.ask("DefaultTolerationSeconds", "pods", pod(tolerations=[given]))
        assert made["spec"]["tolerations"][0] == given
        assert len(made["spec"]["tolerations"]) == 1 + added

    async def test_subresources_and_a_chain_without_it_leave_pods_alone(self, world: Any) -> None:
        assert await world.ask("DefaultTolerationSeconds", "pods", pod(), old=pod(), subresource="status") == pod()
        assert await world.unaffected("DefaultTolerationSeconds", "pods", pod())


class TestExtendedResourceToleration:
    async def test_a_pod_tolerates_the_taints_of_the_devices_that_it_asks_for(self, world: Any) -> None:
        def asking(*names: str) -> Tree:
            return {"name": "c", "resources": {"requests": dict.fromkeys(names, "1")}}

        given = pod(
            containers=[asking("example.com/b", "cpu", "kubernetes.io/x", "requests.example.com/y")],
            initContainers=[asking("example.com/a")],
            tolerations=[{"key": "example.com/b", "operator": "Exists", "effect": "NoSchedule"}],
        )
        made = await world.ask("ExtendedResourceToleration", "pods", given)
        assert made["spec"]["tolerations"] == [
            {"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in ("example.com/b", "example.com/a")
        ]
        assert await world.unaffected("ExtendedResourceToleration", "pods", given)

    async def test_a_toleration_that_ends_is_replaced_by_one_that_lasts(self, world: Any) -> None:
        limited = {"key": "x.com/a", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5}
        given = pod(
            containers=[{"name": "c", "resources": {"requests": {"x.com/a": "1"}}}],
            tolerations=[limited, {"operator": "Exists", "key": "z"}],
        )
        made = await world.ask("ExtendedResourceToleration", "pods", given)
        assert made["spec"]["tolerations"] == [
            {"key": "x.com/a", "operator": "Exists", "effect": "NoSchedule"},
            {"operator": "Exists", "key": "z"},
        ]


class TestRuntimeClass:
    async def test_a_pod_takes_over_what_its_class_says(self, world: Any) -> None:
        world.add(
            RUNTIMES,
            "vm",
            handler="kata",
            overhead={"podFixed": {"memory": "100Mi"}},
            scheduling={
                "nodeSelector": {"vm": "yes"},
                "tolerations": [{"key": "vm", "operator": "Exists", "effect": "NoSchedule"}],
            },
        )
        given = pod(
            runtimeClassName="vm", nodeSelector={"disk": "ssd"}, tolerations=[{"key": "a", "operator": "Exists"}]
        )
        spec = (await world.ask("RuntimeClass", "pods", given))["spec"]
        assert spec["overhead"] == {"memory": "100Mi"}
        assert spec["nodeSelector"] == {"disk": "ssd", "vm": "yes"}
        assert [one["key"] for one in spec["tolerations"]] == ["a", "vm"]

    async def test_an_overhead_that_is_the_same_in_other_words_passes(self, world: Any) -> None:
        world.add(RUNTIMES, "vm", handler="kata", overhead={"podFixed": {"memory": "1Gi"}})
        given = pod(runtimeClassName="vm", overhead={"memory": "1024Mi"})
        assert (await world.ask("RuntimeClass", "pods", given))["spec"]["overhead"] == {"memory": "1Gi"}

    @pytest.mark.parametrize(
        ("spec", "why"),
        [
            ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
            (
                {"runtimeClassName": "vm", "overhead": {"memory": "1Mi"}},
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
            ),
            (
                {"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}},
                "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no",
            ),
            (
                {"overhead": {"memory": "1Mi"}},
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ),
            (
                {"runtimeClassName": "plain", "overhead": {"memory": "1Mi"}},
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ),
        ],
    )
    async def test_a_pod_that_contradicts_its_class_is_refused(self, world: Any, spec: Tree, why: str) -> None:
        world.add(RUNTIMES, "plain", handler="runc")
        selector = {"nodeSelector": {"vm": "yes"}}
        world.add(RUNTIMES, "vm", handler="kata", overhead={"podFixed": {"memory": "100Mi"}}, scheduling=selector)
        assert await world.refusal("RuntimeClass", "pods", pod(**spec)) == f'pods "p" is forbidden: {why}'
        assert await world.unaffected("RuntimeClass", "pods", pod(**spec))

    async def test_a_pod_without_a_class_is_let_alone_and_so_are_updates(self, world: Any) -> None:
        assert await world.ask("RuntimeClass", "pods", pod()) == pod()
        changed = pod(runtimeClassName="none")
        assert await world.ask("RuntimeClass", "pods", changed, old=changed) == changed

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ([{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Exists", "effect": "NoSchedule"}], [0]),
            ([{"key": "a", "operator": "Equal", "value": "1"}, {"operator": "Exists"}], [1]),
            (
                [{"key": "a", "operator": "Equal", "value": "1"}, {"key": "a", "operator": "Equal", "value": "2"}],
                [0, 1],
            ),
            ([{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Exists", "value": ""}], [0]),
            (
                [
                    {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
                    {"key": "a", "operator": "Exists", "effect": "NoExecute"},
                ],
                [1],
            ),
        ],
    )
    def test_of_tolerations_the_wider_ones_are_kept(self, given: list[Tree], kept: list[int]) -> None:
        assert merge_tolerations(given) == [given[index] for index in kept]


class TestAlwaysPullImages:
    async def test_every_image_is_pulled(self, world: Any) -> None:
        given = pod(
            initContainers=[{"name": "i", "image": "i:2"}],
            ephemeralContainers=[{"name": "e", "image": "i:3", "imagePullPolicy": "Never"}],
            volumes=[{"name": "v", "image": {"reference": "i:4"}}, {"name": "w", "emptyDir": {}}],
        )
        spec = (await world.ask("AlwaysPullImages", "pods", given))["spec"]
        policies = [
            one["imagePullPolicy"]
            for field in ("initContainers", "containers", "ephemeralContainers")
            for one in spec[field]
        ]
        assert policies == ["Always"] * 3
        assert spec["volumes"] == [
            {"name": "v", "image": {"reference": "i:4", "pullPolicy": "Always"}},
            given["spec"]["volumes"][1],
        ]
        assert await world.unaffected("AlwaysPullImages", "pods", given)

    async def test_an_update_that_brings_no_image_is_let_alone(self, world: Any) -> None:
        assert await world.ask("AlwaysPullImages", "pods", pod(), old=pod()) == pod()
        other = pod(containers=[{"name": "c", "image": "i:2"}])
        made = await world.ask("AlwaysPullImages", "pods", other, old=pod())
        assert made["spec"]["containers"][0]["imagePullPolicy"] == "Always"

    async def test_what_is_changed_back_afterwards_is_refused(self, world: Any) -> None:
        plugin = PLUGINS["AlwaysPullImages"](world.cluster, AdmissionSettings())
        given = pod()
        attributes = Attributes(
            kind=world.kind("pods"),
            operation=Operation.CREATE,
            name="p",
            namespace="ns",
            obj=given,
            identity=world.identity,
            warn=lambda text: None,
        )
        plugin.admit(attributes)
        given["spec"]["containers"][0]["imagePullPolicy"] = "Never"
        with pytest.raises(APIError) as caught:
            plugin.validate(attributes)
        assert caught.value.code == 500
        assert str(caught.value) == (
            'pods "p" is forbidden: spec.containers[0].imagePullPolicy: Unsupported value: "Never": supported values: '
            '"Always"'
        )


class TestLimitPodHardAntiAffinityTopology:
    @pytest.mark.parametrize("key", ["kubernetes.io/hostname", "zone"])
    async def test_a_pod_keeps_others_off_its_node_at_most(self, world: Any, key: str) -> None:
        terms = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": key}]}
        given = pod(affinity={"podAntiAffinity": terms})
        if key == "zone":
            told = await world.refusal("LimitPodHardAntiAffinityTopology", "pods", given)
            assert told == (
                'pods "p" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but '
                "only key kubernetes.io/hostname is allowed"
            )
        else:
            await world.ask("LimitPodHardAntiAffinityTopology", "pods", given)
        assert await world.unaffected("LimitPodHardAntiAffinityTopology", "pods", given)


class TestPodTopologyLabels:
    async def test_a_binding_gets_the_labels_of_its_node(self, world: Any) -> None:
        labels = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "other": "x"}
        world.add("nodes", "n", metadata={"labels": labels})
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
        made = await world.ask("PodTopologyLabels", "pods", binding, subresource="binding")
        assert made["metadata"]["labels"] == {key: labels[key] for key in list(labels)[:2]}
        placed = await world.ask("PodTopologyLabels", "pods", pod(nodeName="n"))
        assert placed["metadata"]["labels"] == made["metadata"]["labels"]
        assert await world.unaffected("PodTopologyLabels", "pods", pod(nodeName="n"))

    @pytest.mark.parametrize(
        "target", [{"kind": "Node", "name": "none"}, {"name": "n"}, {"kind": "Other", "name": "n"}]
    )
    async def test_other_bindings_are_let_alone(self, world: Any, target: Tree) -> None:
        world.add("nodes", "n", metadata={"labels": {"topology.kubernetes.io/zone": "z"}})
        binding = {"metadata": {"name": "p"}, "target": target}
        assert await world.ask("PodTopologyLabels", "pods", binding, subresource="binding") == binding


class TestPodNodeSelector:
    @pytest.fixture
    def configured(self, world: Any) -> Any:
        told = {"podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "env=all", "ns": "env=test,disk=ssd"}}
        world.settings = AdmissionSettings(configurations={"PodNodeSelector": told})
        annotation = {"scheduler.alpha.kubernetes.io/node-selector": "env=test"}
        world.add("namespaces", "ns", metadata={"annotations": annotation})
        world.add("namespaces", "plain")
        world.add("namespaces", "broken", metadata={"annotations": dict.fromkeys(annotation, "env")})
        return world

    async def test_the_selector_of_the_namespace_or_else_the_clusters_is_added(self, configured: Any) -> None:
        given = pod(nodeSelector={"disk": "ssd"})
        made = await configured.ask("PodNodeSelector", "pods", given)
        assert made["spec"]["nodeSelector"] == {"env": "test", "disk": "ssd"}
        made = await configured.ask("PodNodeSelector", "pods", pod(), namespace="plain")
        assert made["spec"]["nodeSelector"] == {"env": "all"}
        assert await configured.unaffected("PodNodeSelector", "pods", given)

    @pytest.mark.parametrize(
        ("selector", "why"),
        [
            ({"env": "other"}, "pod node label selector conflicts with its namespace node label selector"),
            ({"gpu": "yes"}, "pod node label selector labels conflict with its namespace whitelist"),
        ],
    )
    async def test_a_pod_for_other_nodes_is_refused(self, configured: Any, selector: Tree, why: str) -> None:
        told = await configured.refusal("PodNodeSelector", "pods", pod(nodeSelector=selector))
        assert told == f'pods "p" is forbidden: {why}'

    async def test_a_selector_that_is_none_is_told(self, configured: Any) -> None:
        told = await configured.refusal("PodNodeSelector", "pods", pod(), namespace="broken", code=500)
        assert told == "invalid selector: [env]"


class TestResizing:
    @staticmethod
    def running(*, generation: int = 1, **spec: Any) -> Tree:
        return {"metadata": {"name": "p", "generation": generation}, "spec": {"nodeName": "n", **spec}}

    @staticmethod
    def asking(cpu: str, memory: str) -> Tree:
        return {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}

    @pytest.fixture
    def nodes(self, world: Any) -> Any:
        world.add("nodes", "n", status={"allocatable": {"cpu": "2", "memory": "1Gi"}})
        world.add("nodes", "w", metadata={"labels": {"kubernetes.io/os": "windows"}})
        return world

    async def test_a_pod_grows_as_far_as_its_node_has_room(self, nodes: Any) -> None:
        old = self.running()
        request = {"old": old, "subresource": "resize"}
        await nodes.ask(
            "PodResizeValidator", "pods", self.running(generation=2, containers=[self.asking("2", "1Gi")]), **request
        )
        for overhead, resources, containers, why in (
            ({}, {}, [self.asking("3", "1Gi")], "cpu, requested: 3000, allocatable: 2000"),
            (
                {"cpu": "1m", "memory": "1"},
                {},
                [self.asking("1", "512Mi")] * 2,
                "cpu, requested: 2001, allocatable: 2000; memory, requested: 1073741825, allocatable: 1073741824",
            ),
            ({}, {"requests": {"cpu": "2500m"}}, [], "cpu, requested: 2500, allocatable: 2000"),
        ):
            new = self.running(generation=2, containers=containers, overhead=overhead, resources=resources)
            told = await nodes.refusal("PodResizeValidator", "pods", new, **request)
            assert told == f'pods "p" is forbidden: node didn\'t have enough allocatable resources: {why}'
            assert await nodes.unaffected("PodResizeValidator", "pods", new, old=new, subresource="resize")
            await nodes.ask("PodResizeValidator", "pods", new, old=new, subresource="resize")
            await nodes.ask("PodResizeValidator", "pods", new, old=old)

    async def test_a_refused_growth_has_a_cause(self, nodes: Any) -> None:
        for node, reason in (("n", "NodeCapacity"), ("w", "UnsupportedPlatform")):
            new = self.running(generation=2, nodeName=node, containers=[self.asking("3", "1Gi")])
            with pytest.raises(APIError) as caught:
                await nodes.ask("PodResizeValidator", "pods", new, old=self.running(), subresource="resize")
            assert caught.value.status["details"]["causes"] == [{"reason": reason}]
        assert str(caught.value).endswith('pod resize is only supported on linux nodes, node "w" is "windows"')
        new = self.running(generation=2, nodeName="none")
        told = await nodes.refusal("PodResizeValidator", "pods", new, old=self.running(), subresource="resize")
        assert told == 'pods "p" is forbidden: node "none" not found'

    async def test_a_pod_that_is_nowhere_may_grow(self, nodes: Any) -> None:
        new = self.running(generation=2, nodeName="", containers=[self.asking("3", "1Gi")])
        await nodes.ask("PodResizeValidator", "pods", new, old=self.running(), subresource="resize")

    async def test_a_pod_changes_in_ways_that_its_node_knows(self, nodes: Any) -> None:
        plugin, init = "NodeDeclaredFeatureValidator", self.asking("1", "1Mi")
        features = ["InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers"]
        nodes.add("nodes", "new", status={"declaredFeatures": features})
        changes: list[tuple[Tree, Tree, str]] = [
            ({}, {"resources": {"requests": {"cpu": "1"}}}, features[0]),
            ({"initContainers": [{"name": "c"}]}, {"initContainers": [init]}, features[1]),
            (
                {"initContainers": [{"name": "c"}]},
                {"initContainers": [init], "resources": {"limits": {"cpu": "1"}}},
                ", ".join(features),
            ),
        ]
        for before, now, needed in changes:
            old, new = self.running(**before), self.running(generation=2, **now)
            told = await nodes.refusal(plugin, "pods", new, old=old, subresource="resize")
            why = f'pod update requires features {needed} which are not available on node "n"'
            assert told == f'pods "p" is forbidden: {why}'
            await nodes.ask(plugin, "pods", {**new, "spec": {**new["spec"], "nodeName": "new"}}, old=old)
            await nodes.ask(plugin, "pods", new, old=new)
        sidecar = {"restartPolicy": "Always"}
        old = self.running(initContainers=[{"name": "c", **sidecar}])
        await nodes.ask(plugin, "pods", self.running(generation=2, initContainers=[{**init, **sidecar}]), old=old)
        absent = self.running(generation=2, nodeName="none", resources={"requests": {"cpu": "1"}})
        told = await nodes.refusal(plugin, "pods", absent, old=self.running())
        assert told == 'pods "p" is forbidden: node "none" not found'


class TestPodTolerationRestriction:
    PLUGIN = "PodTolerationRestriction"

    @pytest.fixture
    def configured(self, world: Any) -> Any:
        told = {"default": [{"key": "all", "operator": "Exists"}], "whitelist": [{"key": "all", "operator": "Exists"}]}
        world.settings = AdmissionSettings(configurations={self.PLUGIN: told})
        key = "scheduler.alpha.kubernetes.io/"
        own = {
            f"{key}defaultTolerations": '[{"key": "own", "operator": "Exists"}]',
            f"{key}tolerationsWhitelist": '[{"operator": "Exists"}]',
        }
        world.add("namespaces", "ns")
        world.add("namespaces", "own", metadata={"annotations": own})
        world.add("namespaces", "none", metadata={"annotations": dict.fromkeys(own, "")})
        world.add("namespaces", "broken", metadata={"annotations": dict.fromkeys(own, "{}")})
        return world

    @pytest.mark.parametrize(("namespace", "keys"), [("ns", ["all"]), ("own", ["own"]), ("none", None)])
    async def test_the_tolerations_of_the_namespace_or_else_the_clusters_are_added(
        self, configured: Any, namespace: str, keys: list[str] | None
    ) -> None:
        spec = (await configured.ask(self.PLUGIN, "pods", pod(), namespace=namespace))["spec"]
        assert [one["key"] for one in spec["tolerations"]] == keys if keys else "tolerations" not in spec
        assert await configured.ask(self.PLUGIN, "pods", pod(), old=pod(), namespace=namespace) == pod()

    async def test_pods_with_requests_stay_where_memory_runs_low(self, configured: Any) -> None:
        asking = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
        given = pod(containers=[asking])
        spec = (await configured.ask(self.PLUGIN, "pods", given, old=given, namespace="own"))["spec"]
        assert spec["tolerations"] == [
            {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}
        ]

    async def test_other_tolerations_are_refused(self, configured: Any) -> None:
        given = pod(tolerations=[{"key": "x", "operator": "Exists"}])
        told = await configured.refusal(self.PLUGIN, "pods", given, code=500)
        why = "pod tolerations (possibly merged with namespace default tolerations) conflict with its cluster whitelist"
        assert told == why
        assert await configured.unaffected(self.PLUGIN, "pods", given)
        await configured.ask(self.PLUGIN, "pods", given, namespace="own")
        await configured.ask(self.PLUGIN, "pods", given, namespace="none")
        assert "cannot unmarshal" in await configured.refusal(self.PLUGIN, "pods", given, namespace="broken", code=500)
        told = await configured.refusal(self.PLUGIN, "pods", given, namespace="gone", code=404)
        assert told == 'namespaces "gone" not found'
