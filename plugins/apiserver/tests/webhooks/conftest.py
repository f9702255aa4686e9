"""What calls webhooks, and the services that it finds them behind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hyperkube_apiserver.webhooks.caller import WebhookCaller
from hyperkube_apiserver.webhooks.routing import Routing
from hyperkube_apiserver.webhooks.services import Services
from hyperkube_machinery.clock import SystemClock

Tree = dict[str, Any]
CLOCK = SystemClock()


class Objects:
    """Services and endpoint slices, as a cluster's caches would show them."""

    def __init__(self) -> None:
        self.services: dict[tuple[str, str], Tree] = {}
        self.slices: list[Tree] = []

    def find(self, resource: str, name: str, namespace: str = "", *, group: str = "") -> Tree | None:
        return self.services.get((namespace, name))

    def having(self, resource: str, words: bytes, *, group: str = "") -> list[Tree]:
        return [one for one in self.slices if words in json.dumps(one, separators=(",", ":")).encode()]


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
async def caller(objects: Objects) -> AsyncIterator[WebhookCaller]:
    routing = Routing()
    caller = WebhookCaller(Services(objects, lambda: routing), lambda: routing, CLOCK)
    try:
        yield caller
    finally:
        caller.close()
