"""The files that containers are given."""

from __future__ import annotations

from pathlib import Path

from hyperkube_kubelet.containers.observed import POD_UID
from hyperkube_kubelet.pods.making import ClusterNames, Maker
from hyperkube_kubelet.runtime.values import Container, ContainerConfig, ContainerState, Mount

from .harness import FACTS


def test_with_a_run_go_its_logs_and_its_last_words(tmp_path: Path) -> None:
    logs, words, volume = (tmp_path / name for name in ("logs", "pods/u/containers/main", "volume"))
    for folder in (logs, words, volume):
        folder.mkdir(parents=True)
    for file in (*(logs / name for name in ("1.log", "1.log.20260101-000000.1", "11.log")), words / "1", volume / "1"):
        file.touch()
    mounts = [Mount(container_path=f"/{folder.name}", host_path=folder / "1") for folder in (words, volume)]
    run = Container(
        id="c",
        sandbox_id="s",
        config=ContainerConfig(name="main", image="i", mounts=tuple(mounts), labels={POD_UID: "u"}),
        image_id="i",
        image_ref="i",
        state=ContainerState.EXITED,
        created_at=1.0,
        log_path=logs / "1.log",
    )
    maker = Maker(tmp_path, FACTS, ClusterNames(), objects=None, services=lambda: ())
    maker.discard(run)
    maker.discard(run)
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == {logs / "11.log", volume / "1"}
