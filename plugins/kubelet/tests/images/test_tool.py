"""`hk image`, as its user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hyperkube_kubelet.images.source import image_folder, roots_in_use
from hyperkube_kubelet.images.store import ImageStore
from hyperkube_kubelet.images.tool import app

from .making import Layout, layer


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    layout = Layout()
    layout.name(layout.image(layer(("x", b"1"))), "shop/app:1", "shop/app:2")
    return layout.write(tmp_path / "app.tar")


def image(root: Path, *words: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, [words[0], "--root-dir", str(root), *words[1:]], input=stdin)


def test_load_list_and_remove(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "kubelet"
    assert image(root, "load", str(archive)).stdout == "loaded docker.io/shop/app:1\nloaded docker.io/shop/app:2\n"
    lines = image(root, "list").stdout.splitlines()
    assert lines[0].split() == ["IMAGE", "TAG", "IMAGE", "ID", "LOADED", "SIZE"]
    assert [line.split()[:2] for line in lines[1:]] == [["docker.io/shop/app", "1"], ["docker.io/shop/app", "2"]]
    assert image(root, "rm", "shop/app:1", "shop/app:2").exit_code == 0
    assert json.loads(image(root, "list", "-o", "json").stdout) == {"images": []}


def test_json_tells_what_a_program_wants_to_know(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "kubelet"
    [told] = json.loads(image(root, "load", str(archive), "-o", "json").stdout)["images"]
    assert told["repoTags"] == ["docker.io/shop/app:1", "docker.io/shop/app:2"]
    assert told["id"].startswith("sha256:")
    assert json.loads(image(root, "list", "-o", "json").stdout)["images"] == [told]


def test_what_fails_says_what_and_why(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "kubelet"
    missing = image(root, "load", str(tmp_path / "nothing.tar"))
    assert str(missing.exception) == f"cannot load {tmp_path / 'nothing.tar'}: No such file or directory"
    unknown = image(root, "rm", "shop/app:1")
    assert "there is no image 'shop/app:1' here" in str(unknown.exception)
    assert image(root, "rm", "-f", "shop/app:1").exit_code == 0
    for name in ("hk.local/host", "hk.local/host:latest"):
        assert "it is always there and can't be removed" in str(image(root, "rm", name).exception)


def test_an_image_that_a_container_runs_from_is_kept(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "kubelet"
    image(root, "load", str(archive), "-t", "mine:1")
    [entry] = (store := ImageStore(image_folder(root))).entries()
    record = root / "runtime" / "containers" / "c1" / "record.json"
    record.parent.mkdir(parents=True)
    for state, kept in (("running", True), ("exited", False)):
        run = {"root": {"kind": "image", "lower": str(store.root(entry))}}
        record.write_text(json.dumps({"state": state, "run": run}))
        assert (store.root(entry) in roots_in_use(root)) is kept
    record.write_text(json.dumps({"state": "running", "run": run}))
    assert "a container runs from it" in str(image(root, "rm", "mine:1").exception)


def test_its_help_looks_like_that_of_other_commands() -> None:
    shown = CliRunner().invoke(app, ["list", "-h"])
    assert shown.exit_code == 0
    assert "List the images of a node." in shown.stdout
    assert "─" not in shown.stdout
