"""Images on disk."""

from __future__ import annotations

import fcntl
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.images.errors import (
    BrokenArchive,
    ImageInUse,
    InvalidReference,
    UnknownImage,
    WrongPlatform,
)
from hyperkube_kubelet.images.manifests import machine_platform
from hyperkube_kubelet.images.registries import Registries
from hyperkube_kubelet.images.source import NodeImages
from hyperkube_kubelet.images.store import ImageStore
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_machinery.clock import SystemClock

from .making import Layout, docker_save, layer, zipped

BASE = layer(("bin", None), ("bin/app", b"#!"))
SYSTEM, ARCHITECTURE, VARIANT = machine_platform()
OTHER = "s390x" if ARCHITECTURE != "s390x" else "amd64"


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    layout = Layout()
    config = {
        "Entrypoint": ["/bin/app"],
        "Cmd": ["-v"],
        "Env": ["A=1", "B=x=y"],
        "User": "app:staff",
        "WorkingDir": "/srv",
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGINT",
        "Volumes": {"/data": {}},
    }
    layout.name(layout.image(BASE, layer(("x", b"1")), compress=zipped, config=config), "shop/app:1", "shop/app:latest")
    return layout.write(tmp_path / "app.tar")


def test_a_loaded_image_is_found_by_all_its_names(store: ImageStore, archive: Path) -> None:
    [entry] = store.load(archive, now=5.0)
    for name in ("shop/app", "docker.io/shop/app:1", entry.config_digest, entry.config_digest[7:], entry.reference):
        assert store.find(name) == entry, name
    assert store.find("shop/app:2") is None
    assert store.find("other/app:1") is None
    assert (store.root(entry) / "bin/app").read_bytes() == b"#!"
    assert (store.root(entry) / "x").read_bytes() == b"1"


def test_the_configuration_is_the_images(store: ImageStore, archive: Path) -> None:
    image = store.load(archive, now=5.0)[0].image
    assert image.tags == ("docker.io/shop/app:1", "docker.io/shop/app:latest")
    assert image.digests[0].startswith("docker.io/shop/app@sha256:")
    assert (image.entrypoint, image.command, image.env) == (("/bin/app",), ("-v",), (("A", "1"), ("B", "x=y")))
    assert (image.user, image.working_dir, image.stop_signal) == ("app:staff", "/srv", "SIGINT")
    assert (image.exposed_ports, image.volumes) == (("80/tcp",), ("/data",))
    assert image.size > 0


def test_what_docker_saves_can_be_loaded(store: ImageStore, tmp_path: Path) -> None:
    path = docker_save(tmp_path / "d.tar", ["app:1"], BASE, layer((".wh.bin", b""), ("y", b"2")))
    [entry] = store.load(path, now=0)
    assert entry.names == ("docker.io/library/app:1",)
    assert entry.image.entrypoint == ("/bin/app",)
    assert [path.name for path in store.root(entry).iterdir()] == ["y"]
    assert store.load(path, now=0) == [entry], "the same archive is the same image"


def test_an_archive_may_be_compressed(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    layout.name(layout.image(BASE), "app:1")
    [entry] = store.load(layout.write(tmp_path / "app.tar.gz", mode="w:gz"), now=0)
    assert entry.names == ("docker.io/library/app:1",)


def test_another_process_sees_what_was_loaded(store: ImageStore, archive: Path) -> None:
    other = ImageStore(store.folder)
    assert other.entries() == []
    [entry] = store.load(archive, now=1.0)
    assert other.entries() == [entry]
    other.remove(entry.config_digest)
    assert store.entries() == []


def test_a_name_goes_over_to_the_image_that_was_loaded_last(store: ImageStore, tmp_path: Path) -> None:
    entries = []
    for number in (1, 2):
        layout = Layout()
        layout.name(layout.image(layer(("n", b"%d" % number))), "app:1", f"app:only-{number}")
        entries += store.load(layout.write(tmp_path / f"{number}.tar"), now=0)
    assert store.find("app:1") == entries[1]
    first = store.find("app:only-1")
    assert first is not None
    assert first.names == ("docker.io/library/app:only-1",)


def test_names_can_be_given(store: ImageStore, archive: Path) -> None:
    [entry] = store.load(archive, ["mine:1", "mine:2"], now=0)
    assert entry.names == ("docker.io/library/mine:1", "docker.io/library/mine:2")
    assert store.find("shop/app:1") is None
    with pytest.raises(InvalidReference):
        store.load(archive, ["Not a name"], now=0)


def test_the_image_for_this_machine_is_chosen(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    here, there = layout.image(layer(("here", b""))), layout.image(layer(("there", b"")), architecture=OTHER)
    manifests = [
        {**there, "platform": {"os": "linux", "architecture": OTHER}},
        {**here, "platform": {"os": "unknown", "architecture": "unknown"}},
        {**here, "platform": {"os": "linux", "architecture": ARCHITECTURE}},
    ]
    index = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    layout.name(layout.blob(index), "app:1")
    [entry] = store.load(layout.write(tmp_path / "app.tar"), now=0)
    assert (store.root(entry) / "here").exists()


def test_an_image_for_other_machines_is_refused(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    layout.name(layout.image(BASE, architecture=OTHER), "app:1")
    with pytest.raises(WrongPlatform, match=f"it is made for linux/{OTHER}, and this machine is linux/{ARCHITECTURE}"):
        store.load(layout.write(tmp_path / "app.tar"), now=0)


def test_the_last_name_takes_the_image_with_it(store: ImageStore, archive: Path) -> None:
    [entry] = store.load(archive, now=0)
    store.remove("shop/app:1")
    assert store.root(entry).exists()
    store.remove("shop/app:latest")
    assert store.entries() == []
    assert not store.root(entry).exists()
    with pytest.raises(UnknownImage):
        store.remove("shop/app:1")


def test_layers_that_another_image_has_as_well_stay(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    layout.name(layout.image(BASE, config={"Cmd": ["a"]}), "a:1")
    layout.name(layout.image(BASE, config={"Cmd": ["b"]}), "b:1")
    first, second = store.load(layout.write(tmp_path / "two.tar"), now=0)
    assert store.root(first) == store.root(second)
    assert store.usage().used_bytes == first.size
    store.remove("a:1")
    assert store.root(second).exists()


def test_an_image_that_runs_stays(store: ImageStore, archive: Path) -> None:
    [entry] = store.load(archive, now=0)
    with pytest.raises(ImageInUse):
        store.remove(entry.config_digest, in_use={store.root(entry)})
    assert store.find("shop/app:1") == entry


def test_a_broken_archive_leaves_nothing(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    layout.name(layout.image(BASE, layer(("../x", b""))), "app:1")
    with pytest.raises(BrokenArchive):
        store.load(layout.write(tmp_path / "app.tar"), now=0)
    assert store.entries() == []
    assert [path for name in ("new", "roots") for path in (store.folder / name).iterdir()] == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no tar archive"),
        (b"\0" * 10240, "neither index.json nor manifest.json"),
        (b"hello" * 500, "no tar archive"),
    ],
)
def test_what_is_no_archive_of_images_is_refused(store: ImageStore, tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    with pytest.raises(BrokenArchive, match=says):
        store.load(path, now=0)


def test_a_blob_that_was_changed_is_refused(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    descriptor = layout.image(BASE)
    layout.name(descriptor, "app:1")
    name = f"blobs/sha256/{descriptor['digest'][7:]}"
    layout.members[name] = layout.members[name].replace(b"schemaVersion", b"schemaversion")
    with pytest.raises(BrokenArchive, match="has been changed"):
        store.load(layout.write(tmp_path / "app.tar"), now=0)


def test_a_digest_can_not_lead_elsewhere(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    layout.name({"digest": "sha256:../../../etc/passwd", "size": 1}, "app:1")
    with pytest.raises(BrokenArchive, match="no sha256"):
        store.load(layout.write(tmp_path / "app.tar"), now=0)


def test_an_index_of_a_newer_version_is_left_alone(store: ImageStore, archive: Path) -> None:
    store.load(archive, now=0)
    path = store.folder / "index.json"
    path.write_text(json.dumps({"format": 99, "images": []}))
    with pytest.raises(BrokenArchive, match="newer version"):
        store.load(archive, now=0)
    assert json.loads(path.read_text())["format"] == 99


@pytest.mark.anyio
async def test_what_is_known_of_images_may_be_damaged(tmp_path: Path) -> None:
    images = NodeImages(tmp_path, Registries(), SystemClock())
    images.store.folder.mkdir()
    (images.store.folder / "index.json").write_text("{")
    for asked in (images.images(), images.find("app:1"), images.usage()):
        with pytest.raises(RuntimeFailure, match="is damaged"):
            await asked


def test_what_a_killed_load_left_goes_with_the_next(store: ImageStore, archive: Path) -> None:
    (store.folder / "new" / "half" / "bin").mkdir(parents=True)
    store.load(archive, now=5.0)
    assert not (store.folder / "new" / "half").exists()


def test_a_load_waits_for_a_removal_of_the_same_root(
    store: ImageStore, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry] = store.load(archive, now=5.0)
    flock, arrived = fcntl.flock, threading.Event()

    def arrive(file: Any, how: int) -> None:
        arrived.set()
        flock(file, how)

    with (store.folder / "lock").open("w") as removal:
        flock(removal, fcntl.LOCK_EX)
        monkeypatch.setattr("hyperkube_kubelet.images.store.fcntl.flock", arrive)
        loading = threading.Thread(target=lambda: ImageStore(store.folder).load(archive, now=6.0))
        loading.start()
        assert arrived.wait(10)
        store.root(entry).rename(store.folder / "gone")
    loading.join(10)
    assert (store.root(entry) / "bin/app").exists()
