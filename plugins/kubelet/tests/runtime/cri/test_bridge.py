"""A network of hk's own, where nobody has configured one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyperkube_kubelet.runtime.cri.bridge import FILE, bridge_name, conflist, places_of, settle

RANGE = "10.244.3.0/24"
PLUGINS = ("bridge", "host-local", "loopback", "portmap")


@pytest.fixture
def told(tmp_path: Path) -> dict[str, str]:
    """What a runtime tells whose plugins are all there."""
    plugins = tmp_path / "bin"
    plugins.mkdir()
    for name in PLUGINS:
        (plugins / name).touch()
    return {"config": json.dumps({"cni": {"confDir": str(tmp_path / "net.d"), "binDir": str(plugins)}})}


def test_a_runtime_is_given_a_configuration_once(told: dict[str, str], tmp_path: Path) -> None:
    assert settle(told, [RANGE], tmp_path / "addresses") == ""
    file = tmp_path / "net.d" / FILE
    document = json.loads(file.read_text())
    assert [plugin["type"] for plugin in document["plugins"]] == ["bridge", "portmap"]
    assert document["plugins"][0]["ipam"]["ranges"] == [[{"subnet": RANGE}]]
    written = file.stat().st_mtime_ns
    assert settle(told, [RANGE], tmp_path / "addresses") == ""
    assert file.stat().st_mtime_ns == written
    assert settle(told, ["10.9.0.0/24"], tmp_path / "addresses") == ""
    assert "10.9.0.0/24" in file.read_text()
    assert [entry.name for entry in (tmp_path / "net.d").iterdir()] == [FILE]


@pytest.mark.parametrize("name", ["10-flannel.conflist", "87-podman.conflist", "calico.conf", "net.json"])
def test_what_somebody_else_configured_stands(told: dict[str, str], tmp_path: Path, name: str) -> None:
    (tmp_path / "net.d").mkdir()
    (tmp_path / "net.d" / name).write_text("{}")
    assert settle(told, [RANGE], tmp_path) == ""
    assert not (tmp_path / "net.d" / FILE).exists()


def test_plugins_that_are_missing_are_named(told: dict[str, str], tmp_path: Path) -> None:
    for name in ("bridge", "portmap"):
        (tmp_path / "bin" / name).unlink()
    why = settle(told, [RANGE], tmp_path)
    assert why.startswith(f"the CNI plugins bridge, portmap are not in {tmp_path / 'bin'}: install them")
    assert not (tmp_path / "net.d").exists()


def test_without_a_range_it_is_said_where_one_comes_from(told: dict[str, str], tmp_path: Path) -> None:
    why = settle(told, [], tmp_path)
    assert "--allocate-node-cidrs" in why
    assert "--pod-cidr" in why


def test_a_folder_that_can_not_be_written_is_told(told: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "net.d").write_text("a file")
    assert settle(told, [RANGE], tmp_path).startswith("a CNI configuration can't be written: ")


@pytest.mark.parametrize(
    ("told", "configuration", "plugins"),
    [
        ({}, "/etc/cni/net.d", ("/opt/cni/bin",)),
        ({"config": "no JSON"}, "/etc/cni/net.d", ("/opt/cni/bin",)),
        ({"config": '{"cni": {"confDir": "/c", "binDir": "/b"}}'}, "/c", ("/b",)),
        ({"config": '{"cni": {"confDir": "/c", "binDirs": ["/a", "/b"]}}'}, "/c", ("/a", "/b")),
    ],
)
def test_places_are_those_that_the_runtime_tells(
    told: dict[str, str], configuration: str, plugins: tuple[str, ...]
) -> None:
    places = places_of(told)
    assert (str(places.configuration), tuple(map(str, places.plugins))) == (configuration, plugins)


def test_both_families_have_ranges_and_routes() -> None:
    ipam = conflist([RANGE, "fd00:7::/64"], Path("/a"))["plugins"][0]["ipam"]
    assert ipam["ranges"] == [[{"subnet": RANGE}], [{"subnet": "fd00:7::/64"}]]
    assert ipam["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


def test_bridges_of_two_nodes_differ_and_their_names_fit() -> None:
    names = {bridge_name([f"10.244.{number}.0/24"]) for number in range(100)}
    assert len(names) == 100
    assert max(map(len, names)) < 16
