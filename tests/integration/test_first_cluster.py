"""The first cluster: an ordinary user's Deployment becomes containers behind a Service, and goes without a trace."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import _tools
import pytest
from _users import User
from _usersclusters import AWARE, PLAIN, UsersCluster, answers, eventually, make_image, users_cluster

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux's")


@pytest.fixture
def start(user: User) -> Iterator[Callable[..., UsersCluster]]:
    with ExitStack() as stack:
        yield lambda name, *flags: stack.enter_context(users_cluster(user, name, *flags))


def deploy(cluster: UsersCluster, app: str, image: str) -> None:
    cluster.kubectl("create", "deployment", app, f"--image={image}", "--replicas=3")
    cluster.kubectl("rollout", "status", f"deployment/{app}", "--timeout=50s")
    cluster.kubectl("expose", "deployment", app, "--port=80", "--target-port=8080")
    eventually(cluster, lambda: cluster.ask(app))
    assert len(cluster.pods(app)) == 3
    answers(cluster, app, asked=2)


def change(cluster: UsersCluster, app: str, image: str) -> None:
    """What is declared comes to pass, whatever happens to it."""
    before = cluster.pods(app)
    cluster.kubectl("set", "image", f"deployment/{app}", f"*={image}")
    cluster.kubectl("rollout", "status", f"deployment/{app}", "--timeout=50s")
    assert not cluster.pods(app) & before
    answers(cluster, app, asked=2)
    cluster.kubectl("scale", f"deployment/{app}", "--replicas=2")
    eventually(cluster, lambda: cluster.pods(app), lambda pods: len(pods) == 2)
    gone, kept = sorted(cluster.pods(app))
    cluster.kubectl("delete", "pod", gone)
    after = eventually(cluster, lambda: cluster.pods(app), lambda pods: len(pods) == 2)
    assert kept in after
    assert gone not in after
    answers(cluster, app, asked=2)


@pytest.mark.parametrize("mode", ["process", "in-process"])
def test_a_deployment_becomes_containers_behind_a_service(
    start: Callable[..., UsersCluster], user: User, mode: str
) -> None:
    cluster = start(mode, f"--mode={mode}")
    for name, script in (("plain", PLAIN), ("other", PLAIN.replace("hostname >", "echo other; hostname >"))):
        cluster.user("hk", "image", "load", str(make_image(user, name, script)), f"--data-dir={cluster.folder}")
    deploy(cluster, "web", "plain:1")
    deploy(cluster, "second", "other:1")
    change(cluster, "web", "other:1")
    pod = sorted(cluster.pods("web"))[0]
    assert cluster.kubectl("logs", pod).splitlines() == ["other"]
    assert cluster.kubectl("exec", pod, "--", "cat", "/etc/hostname").strip() == pod
    assert cluster.kubectl("exec", pod, "--", "sh", "-c", "exit 3", check=False) == ""


def test_pods_that_read_their_address_need_no_network_of_their_own(start: Callable[..., UsersCluster]) -> None:
    cluster = start("loopback", "--set=kubelet.network=loopback")
    busybox = os.fspath(_tools.busybox())
    names = {"POD_NAME": "metadata.name", "POD_IP": "status.podIP"}
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "image": "hk.local/host",
                            "command": ["/bin/sh", "-c", AWARE.replace("httpd -f", f"{busybox} httpd -f")],
                            "env": [
                                {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
                                for name, path in names.items()
                            ],
                            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                        }
                    ]
                },
            },
        },
    }
    path = cluster.folder.parent / "loopback.json"
    path.write_text(json.dumps(manifest))
    cluster.kubectl("apply", "-f", str(path))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=50s")
    cluster.kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
    eventually(cluster, lambda: cluster.ask("web"))
    answers(cluster, "web", asked=2)
    pod = sorted(cluster.pods("web"))[0]
    assert cluster.kubectl("logs", pod).startswith("serving on 127.")
