"""What containers leave as their last words."""

from __future__ import annotations

import os
from pathlib import Path

from hyperkube_kubelet.containers.config import TERMINATION_MESSAGE_PATH, TERMINATION_MESSAGE_POLICY
from hyperkube_kubelet.pods.sightings import last_words
from hyperkube_kubelet.runtime.values import Container, ContainerConfig, ContainerState, Mount

PATH = "/dev/termination-log"


def ended(mount: Mount, *, log: Path | None = None) -> Container:
    annotations = {TERMINATION_MESSAGE_PATH: PATH, TERMINATION_MESSAGE_POLICY: "FallbackToLogsOnError"}
    return Container(
        id="c",
        sandbox_id="s",
        config=ContainerConfig(name="main", image="i", mounts=(mount,), annotations=annotations),
        image_id="i",
        image_ref="i",
        state=ContainerState.EXITED,
        created_at=1.0,
        exit_code=1,
        message="as the runtime has it",
        log_path=log,
    )


def test_a_message_is_the_beginning_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * 5000)
    assert last_words(ended(Mount(container_path=PATH, host_path=tmp_path / "file"))).message == "x" * 4096


def test_without_a_message_the_end_of_the_log_may_be_it(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text("2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stderr F two three\n")
    mount = Mount(container_path=PATH, host_path=tmp_path / "none")
    assert last_words(ended(mount, log=log)).message == "one\ntwo three\n"
    assert last_words(ended(mount)).message == "as the runtime has it"


def test_no_message_is_read_from_a_part_of_a_volume(tmp_path: Path) -> None:
    """Whoever writes in the volume may have made it a link to a file of the node's."""
    (tmp_path / "key").write_text("secret")
    (tmp_path / "message").symlink_to(tmp_path / "key")
    mount = Mount(container_path=PATH, host_path=tmp_path / "message", resolved=True)
    assert last_words(ended(mount)).message == "as the runtime has it"


def test_a_message_that_nobody_writes_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert last_words(ended(Mount(container_path=PATH, host_path=tmp_path / "pipe"))).message == "as the runtime has it"
