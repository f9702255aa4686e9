"""ImagePolicyWebhook: what is asked, what the answers come to, and what happens without one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.admission import AdmissionSettings, build_chain
from hyperkube_apiserver.admission.configuration import ConfigurationError
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.listener import bind
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

PLUGIN = "ImagePolicyWebhook"
NOTES = "imagepolicywebhook.image-policy.k8s.io"

Tree = dict[str, Any]


class Policy:
    """A webhook, and the chain that asks it."""

    def __init__(self, world: Any, kubeconfig: Path) -> None:
        self._world = world
        self._kubeconfig = kubeconfig
        self.asked: list[Tree] = []
        self.status: Tree = {"allowed": True}
        self.code = 200
        self.notes: dict[str, str] = {}
        self.configure()

    def configure(self, **policy: Any) -> None:
        told = {"imagePolicy": {"kubeConfigFile": str(self._kubeconfig), "retryBackoff": -1, **policy}}
        settings = AdmissionSettings(plugins=(PLUGIN,), configurations={PLUGIN: told})
        self._chain = build_chain(self._world.cluster, settings)

    def handle(self, request: Request) -> Response:
        review = json.loads(request.body)
        self.asked.append(review["spec"])
        assert (review["kind"], review["apiVersion"]) == ("ImageReview", "imagepolicy.k8s.io/v1alpha1")
        return Response(self.code, json.dumps({**review, "status": self.status}).encode())

    async def ask(self, pod: Tree, **request: Any) -> None:
        attributes = Attributes(
            kind=self._world.kind("pods"),
            operation=request.pop("operation", Operation.CREATE),
            name="p",
            namespace="ns",
            obj=pod,
            identity=self._world.identity,
            warn=lambda text: None,
            annotate=lambda key, value, level="", /: self.notes.update({key: value}),
            **request,
        )
        await self._chain.admit(attributes)
        await self._chain.validate(attributes)

    async def refusal(self, pod: Tree) -> str:
        with pytest.raises(APIError) as caught:
            await self.ask(pod)
        assert caught.value.code == 403
        return str(caught.value)


@pytest.fixture
async def policy(world: Any, tmp_path: Path) -> AsyncIterator[Policy]:
    sockets = await bind("127.0.0.1", 0, backlog=5)
    port = sockets[0].getsockname()[1]
    file = tmp_path / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters:\n- name: c\n  cluster: {{server: 'http://127.0.0.1:{port}/images'}}\n"
        "users:\n- {name: u, user: {}}\ncontexts:\n- {name: c, context: {cluster: c, user: u}}\n"
    )
    policy = Policy(world, file)
    server = HTTPServer(policy.handle, clock=VirtualClock())
    await server.start(sockets=sockets)
    yield policy
    await server.drain(0)


def pod(image: str = "i:1", **metadata: Any) -> Tree:
    return {
        "metadata": {"name": "p", **metadata},
        "spec": {
            "containers": [{"name": "c", "image": image}],
            "initContainers": [{"name": "i", "image": "init:1"}],
            "ephemeralContainers": [{"name": "e", "image": "debug:1"}],
        },
    }


async def test_images_and_what_is_meant_for_the_policy_are_told(policy: Policy) -> None:
    annotations = {"mine.image-policy.k8s.io/ticket": "1", "other": "x"}
    await policy.ask(pod(annotations=annotations))
    assert policy.asked == [
        {
            "containers": [{"image": "i:1"}, {"image": "init:1"}],
            "annotations": {"mine.image-policy.k8s.io/ticket": "1"},
            "namespace": "ns",
        }
    ]
    await policy.ask(pod(), subresource="ephemeralcontainers", operation=Operation.UPDATE)
    assert policy.asked[1] == {"containers": [{"image": "debug:1"}], "namespace": "ns"}


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"allowed": False}, "one or more images rejected by webhook backend"),
        (
            {"allowed": False, "reason": "too old"},
            "image policy webhook backend denied one or more images: too old",
        ),
        ({}, "one or more images rejected by webhook backend"),
    ],
)
async def test_images_that_are_not_allowed_are_refused(policy: Policy, status: Tree, why: str) -> None:
    policy.status = {**status, "auditAnnotations": {"who": "me"}}
    assert await policy.refusal(pod()) == f'pods "p" is forbidden: {why}'
    assert policy.notes == {f"{NOTES}/who": "me"}


@pytest.mark.parametrize(("allowed", "seconds"), [(True, 300), (False, 30)])
async def test_an_answer_is_remembered_for_a_while(policy: Policy, world: Any, allowed: bool, seconds: int) -> None:
    policy.status = {"allowed": allowed}

    async def ask() -> None:
        await (policy.ask(pod()) if allowed else policy.refusal(pod()))

    await ask()
    await world.clock.advance(seconds - 1)
    await ask()
    assert len(policy.asked) == 1
    await world.clock.advance(2)
    await ask()
    assert len(policy.asked) == 2


async def test_without_an_answer_a_pod_is_refused_unless_the_file_says_otherwise(policy: Policy) -> None:
    policy.code = 404
    assert "the server could not find the requested resource" in await policy.refusal(pod())
    policy.configure(defaultAllow=True)
    given = pod()
    await policy.ask(given)
    assert policy.notes == {f"{NOTES}/failed-open": "true"}
    assert given["metadata"]["annotations"] == {"alpha.image-policy.k8s.io/failed-open": "true"}
    assert len(policy.asked) == 2, "that is not remembered"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (None, "no config specified"),
        ({"imagePolicy": {}}, "imagePolicy.kubeConfigFile"),
        (
            {"imagePolicy": {"allowTTL": 1801}},
            "imagePolicy.allowTTL: valid value is between 1 s and 1800 s, got 1801 s",
        ),
        ({"imagePolicy": {"denyTTL": -2}}, "imagePolicy.denyTTL: valid value is between"),
        ({"imagePolicy": {"retryBackoff": 300_001}}, "imagePolicy.retryBackoff: valid value is between"),
        ({"imagePolicy": {"retryBackoff": "1s"}}, "imagePolicy.retryBackoff: must be a number"),
    ],
)
async def test_a_bad_configuration_is_refused(world: Any, told: Any, why: str) -> None:
    configurations = {} if told is None else {PLUGIN: told}
    with pytest.raises(ConfigurationError, match=why):
        build_chain(world.cluster, AdmissionSettings(plugins=(PLUGIN,), configurations=configurations))
