"""The store in memory."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
from _embeddedcontract import EmbeddedContract
from _storecontract import Opening, StoreContract

from hyperkube_machinery.storage.interface import Store
from hyperkube_machinery.storage.memory import MemoryStore
from hyperkube_machinery.testing.clock import VirtualClock


class TestMemoryStore(StoreContract, EmbeddedContract):
    @pytest.fixture
    def opening(self, clock: VirtualClock) -> Opening:
        def open_empty() -> AbstractAsyncContextManager[Store]:
            return MemoryStore.open(clock=clock)

        return open_empty
