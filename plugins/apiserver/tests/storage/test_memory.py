"""The store in memory."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from hyperkube_apiserver.storage.interface import Store
from hyperkube_apiserver.storage.memory import MemoryStore
from hyperkube_core.testing import VirtualClock

from .contract import Opening, StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def opening(self, clock: VirtualClock) -> Opening:
        def open_empty() -> AbstractAsyncContextManager[Store]:
            return MemoryStore.open(clock=clock)

        return open_empty
