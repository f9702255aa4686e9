"""Layers on their way to the disk, friendly and hostile."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.images.errors import BrokenArchive
from hyperkube_kubelet.images.layers import apply_layer

from .making import Layer, digest_of, layer, zipped


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "outer" / "root"
    path.mkdir(parents=True)
    (tmp_path / "outer" / "secret").write_text("mine")
    return path


def apply(root: Path, *layers: Layer) -> None:
    for item in layers:
        apply_layer(io.BytesIO(item), root, digest=digest_of(item), diff_id=digest_of(item), owners=False)


def tree(root: Path) -> dict[str, str]:
    """What is in a folder: files with their text, links with their target, folders."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        found[name] = f"-> {path.readlink()}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
    return found


def test_files_folders_and_links(root: Path) -> None:
    apply(root, layer(("bin", None), ("bin/a", b"text"), ("bin/b", "-> a"), ("c", "= bin/a"), ("d/e/f", b"deep")))
    assert tree(root) == {
        "bin": "/",
        "bin/a": "text",
        "bin/b": "-> a",
        "c": "text",
        "d": "/",
        "d/e": "/",
        "d/e/f": "deep",
    }
    assert (root / "c").stat().st_ino == (root / "bin/a").stat().st_ino
    assert (root / "bin/a").stat().st_mtime == 1_000_000_000


def test_modes_are_kept(root: Path) -> None:
    def of_mode(mode: int) -> Any:
        return lambda entry: setattr(entry, "mode", mode)

    apply(root, layer(("a", of_mode(0o4711)), ("b", of_mode(0o000))))
    assert [stat.S_IMODE((root / name).stat().st_mode) for name in "ab"] == [0o4711, 0]


def test_a_later_layer_wins(root: Path) -> None:
    apply(root, layer(("a", b"1"), ("b", None), ("b/c", b"1")), layer(("a", None), ("a/x", b"2"), ("b", b"2")))
    assert tree(root) == {"a": "/", "a/x": "2", "b": "2"}


def test_a_folder_that_comes_again_keeps_what_is_in_it(root: Path) -> None:
    apply(root, layer(("a", None), ("a/b", b"1")), layer(("a", None)))
    assert tree(root) == {"a": "/", "a/b": "1"}


def test_a_whiteout_removes(root: Path) -> None:
    apply(root, layer(("a", b"1"), ("d", None), ("d/x", b"1")), layer((".wh.a", b""), (".wh.d", b""), (".wh.no", b"")))
    assert tree(root) == {}


def test_an_opaque_folder_shows_its_own_layer_alone(root: Path) -> None:
    lower = layer(("d", None), ("d/old", b"1"), ("d/sub", None), ("d/sub/old", b"1"))
    upper = layer(("d", None), ("d/new", b"2"), ("d/sub", None), ("d/sub/new", b"2"), ("d/.wh..wh..opq", b""))
    apply(root, lower, upper)
    assert tree(root)["d/new"] == "2"
    assert "d/old" not in tree(root)


def test_notes_of_builders_are_left_out(root: Path) -> None:
    apply(root, layer((".wh..wh.plnk", None), (".wh..wh.aufs", b"")))
    assert tree(root) == {}


def test_links_of_earlier_layers_lead_within_the_image(root: Path) -> None:
    apply(
        root,
        layer(("usr/lib", None), ("lib", "-> usr/lib"), ("abs", "-> /usr")),
        layer(("lib/x", b"1"), ("abs/y", b"2")),
    )
    assert tree(root)["usr/lib/x"] == "1"
    assert tree(root)["usr/y"] == "2"
    assert (root / "lib").is_symlink()


@pytest.mark.parametrize(
    "entries",
    [
        [("../escaped", b"x")],
        [("a/../../escaped", b"x")],
        [("out", "-> ../.."), ("out/escaped", b"x")],
        [("out", "-> /"), ("out/tmp/hk-escaped", b"x")],
        [("out", "-> ../../../../../../.."), ("out/tmp/hk-escaped", b"x")],
        [("a", "-> b"), ("b", "-> ../.."), ("a/escaped", b"x")],
        [("stolen", "= ../secret")],
        [("out", "-> .."), ("stolen", "= out/secret")],
        [("stolen", "= /secret")],
        [("link", "-> ../secret"), ("link", b"overwritten")],
        [("out", "-> .."), ("out/.wh.secret", b"")],
        [("d", None), ("d/.wh...", b"")],
        [("/.wh..", b"")],
        [("out", "-> .."), ("out/.wh..wh..opq", b"")],
    ],
)
def test_nothing_leads_out_of_the_image(root: Path, entries: list[tuple[str, Any]]) -> None:
    outside = tree(root.parent)
    with suppress(BrokenArchive):
        apply(root, layer(*entries))
    inside = {name: what for name, what in tree(root.parent).items() if not name.startswith("root/")}
    assert inside == outside
    assert not Path("/tmp/hk-escaped").exists()
    stolen = root / "stolen"
    assert not stolen.exists() or stolen.read_text() != "mine"


def test_a_circle_of_links_ends(root: Path) -> None:
    with pytest.raises(BrokenArchive, match="too many links"):
        apply(root, layer(("a", "-> b"), ("b", "-> a"), ("a/x", b"1")))


def test_a_hard_link_to_a_link_links_the_link(root: Path) -> None:
    apply(root, layer(("l", "-> ../secret"), ("h", "= l")))
    assert tree(root) == {"l": "-> ../secret", "h": "-> ../secret"}


def test_something_below_a_file_is_refused(root: Path) -> None:
    with pytest.raises(BrokenArchive, match="which is a file"):
        apply(root, layer(("a", b"1"), ("a/b", b"2")))


def test_devices_are_left_out(root: Path) -> None:
    def device(entry: tarfile.TarInfo) -> None:
        entry.type, entry.devmajor, entry.devminor = tarfile.CHRTYPE, 1, 3

    apply(root, layer(("null", device), ("x", b"1")))
    assert tree(root) == {"x": "1"}


def test_compressed_layers(root: Path) -> None:
    plain = layer(("a", b"1" * 100_000))
    packed = zipped(plain)
    apply_layer(io.BytesIO(packed), root, digest=digest_of(packed), diff_id=digest_of(plain), owners=False)
    assert (root / "a").stat().st_size == 100_000


@pytest.mark.parametrize("which", ["digest", "diff_id"])
def test_a_layer_that_was_changed_is_refused(root: Path, which: str) -> None:
    item = layer(("a", b"1"))
    digests = {"digest": digest_of(item), "diff_id": digest_of(item), which: "sha256:" + "0" * 64}
    with pytest.raises(BrokenArchive, match="has been changed"):
        apply_layer(io.BytesIO(item), root, owners=False, **digests)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:20] + b"XXXX" + data[24:]])
def test_a_damaged_layer_is_refused(root: Path, damage: Any) -> None:
    broken = damage(zipped(layer(("a", os.urandom(10_000)))))
    with pytest.raises(BrokenArchive):
        apply_layer(io.BytesIO(broken), root, digest="", diff_id="", owners=False)
