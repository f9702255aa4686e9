"""As whom webhooks are called."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.webhooks.caller import WebhookCaller
from hyperkube_apiserver.webhooks.identities import Identities, names_of
from hyperkube_apiserver.webhooks.routing import Routing
from hyperkube_apiserver.webhooks.services import Services
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.kubeconfig import KubeconfigError

pytestmark = pytest.mark.anyio

REVIEW = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": "u"}}
KUBECONFIG = """\
kind: Config
users:
- name: hooks.tests.svc
  user: {token: by-name}
- name: "*.tests.svc"
  user: {username: domain, password: secret}
- name: "*"
  user: {token: everybody}
"""


def test_the_most_particular_user_is_meant() -> None:
    assert list(names_of("a.b.svc:443")) == [
        *("a.b.svc:443", "*.b.svc:443", "*.svc:443"),
        *("a.b.svc", "*.b.svc", "*.svc", "*"),
    ]
    assert list(names_of("a.b:8443")) == ["a.b:8443", "*.b:8443", "*"]


@pytest.mark.parametrize(
    ("target", "header"),
    [
        ("hooks.tests.svc:443", "Bearer by-name"),
        ("hooks.tests.svc:8443", "Bearer everybody"),
        ("others.tests.svc:443", "Basic " + base64.b64encode(b"domain:secret").decode()),
        ("elsewhere:443", "Bearer everybody"),
    ],
)
async def test_each_server_is_sent_its_credentials(tmp_path: Path, target: str, header: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(KUBECONFIG)
    credentials = Identities.read(file, SystemClock()).of(target)
    assert credentials is not None
    assert credentials.known() == (("authorization", header),)


async def test_a_file_that_is_of_no_use_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="must be an absolute file path"):
        Identities.read(Path("kubeconfig"), SystemClock())
    with pytest.raises(KubeconfigError, match="cannot be read"):
        Identities.read(tmp_path / "none", SystemClock())


async def test_a_webhook_is_called_as_somebody(tmp_path: Path, hook: Any, objects: Any) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(KUBECONFIG)
    routing, clock = Routing(), SystemClock()
    identities = Identities.read(file, clock)
    caller = WebhookCaller(Services(objects, lambda: routing), lambda: routing, clock, identities=identities)
    try:
        await caller.call(hook.at(), REVIEW, 10)
    finally:
        caller.close()
    assert hook.asked[0][1]["authorization"] == "Bearer everybody"
