"""The store in a file."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path

import pytest

from hyperkube_apiserver.storage.interface import Store
from hyperkube_apiserver.storage.sqlite import SQLiteStore
from hyperkube_core.testing import VirtualClock

from .contract import Opening, StoreContract

pytestmark = pytest.mark.anyio


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def opening(self, tmp_path: Path, clock: VirtualClock) -> Opening:
        names = count()

        def open_empty() -> AbstractAsyncContextManager[Store]:
            return SQLiteStore.open(tmp_path / f"{next(names)}.db", clock=clock)

        return open_empty
