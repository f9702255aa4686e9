"""How the kubelet starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hyperkube_core import SettingsError
from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.hollow import node_ranges
from hyperkube_kubelet.options import Options
from hyperkube_kubelet.server import _runtime
from hyperkube_machinery.clock import SystemClock


@pytest.mark.skipif(sys.platform != "linux", reason="the process runtime runs on Linux alone")
@pytest.mark.anyio
async def test_a_runtime_that_can_not_be_had_is_blamed_on_its_flag(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir(mode=0o700)
    (tmp_path / "runtime" / "lock").mkdir()  # where the reaper's lock should be
    options = Options(pod_manifest_path=tmp_path, root_dir=tmp_path)
    with pytest.raises(SettingsError, match=r"flag --container-runtime: .*reaper\.log says why"):
        async with _runtime(options, SystemClock(), Counts()):
            pass


def test_there_are_addresses_for_as_many_hollow_nodes_as_may_be_asked_for() -> None:
    assert len(set(node_ranges(1 << 15))) == 1 << 15
