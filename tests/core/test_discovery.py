"""Which servers are found: by installed metadata alone, in every way to install that importlib-metadata knows."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from hyperkube_core._discovery import PluginRecord, limited, normalised
from hyperkube_core.testing import Site

SOURCE = "raise SystemExit('discovery must not import plugins')"

PROGRAM = """
import json, sys
from hyperkube_core import _discovery
group = sys.argv[1]
quick = _discovery.discover(group)
imported = "importlib_metadata" in sys.modules
thorough = _discovery.discover_thoroughly(group)
print(json.dumps([[list(map(str, (r.name, r.distribution, r.version, r.target, r.location))) for r in records]
                  for records in (quick, thorough)] + [imported]))
"""

GROUP = "brand.servers"


def find(site: Site, *path: Path) -> tuple[list[list[str]], bool]:
    """The records that are found, checked to be what importlib-metadata finds; and whether it was needed."""
    import json

    pythonpath = ":".join(map(str, (site.path, *path)))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, GROUP],
        env=site.environment(PYTHONPATH=pythonpath),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    quick, thorough, imported = json.loads(done.stdout)
    assert quick == thorough
    return quick, imported


def test_nothing_is_imported_to_find_servers(site: Site) -> None:
    site.install("first", SOURCE, aliases=["kube-first"], group=GROUP)
    records, imported = find(site)
    assert records == [
        ["first", "first", "1.0", "first_plugin", str(site.path)],
        ["kube-first", "first", "1.0", "first_plugin", str(site.path)],
    ]
    assert not imported, "importlib-metadata costs more than all the rest of a launch"


def test_other_groups_are_not_ours(site: Site) -> None:
    site.install("other", SOURCE, group="brand.servers.more")
    assert find(site)[0] == []


def test_names_are_normalised_and_values_kept(site: Site) -> None:
    site.install("a", SOURCE, distribution="My_Cool.Plugin", group=GROUP, entry_points={"Name": "pkg.mod:attr.b"})
    assert find(site)[0] == [["Name", "my-cool-plugin", "1.0", "pkg.mod:attr.b", str(site.path)]]


def test_comments_and_odd_spacing_are_read_as_importlib_does(site: Site) -> None:
    site.install("a", SOURCE, group=GROUP)
    text = f"# comment\n\n[console_scripts]\nx = y:z\n[{GROUP}]\n  a=a_plugin  \n# b = b\nc = m : f [extra]\n"
    (site.path / "a-1.0.dist-info/entry_points.txt").write_text(text)
    assert [record[:4:3] for record in find(site)[0]] == [["a", "a_plugin"], ["c", "m:f"]]


def test_the_first_of_two_on_the_path_counts(site: Site, tmp_path: Path) -> None:
    later = Site(tmp_path / "later")
    site.install("a", SOURCE, version="1.0", group=GROUP)
    later.install("a", SOURCE, version="2.0", group=GROUP)
    assert [record[2] for record in find(site, later.path)[0]] == ["1.0"]


def test_a_first_one_without_servers_hides_the_second(site: Site, tmp_path: Path) -> None:
    later = Site(tmp_path / "later")
    site.install("a", SOURCE, group="another")
    later.install("a", SOURCE, group=GROUP)
    assert find(site, later.path)[0] == []


def test_of_two_versions_in_one_folder_the_later_counts(site: Site) -> None:
    site.install("a", SOURCE, version="1.9", group=GROUP)
    site.install("a", SOURCE, version="1.10", group=GROUP)
    assert [record[2] for record in find(site)[0]] == ["1.10"]


def test_leftovers_without_metadata_are_no_distribution(site: Site) -> None:
    site.install("a", SOURCE, group=GROUP)
    (site.path / "a-1.0.dist-info/METADATA").unlink()
    assert find(site)[0] == []


def test_a_folder_of_a_setuptools_checkout_counts(site: Site, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    egg_info = checkout / "some_thing.egg-info"
    egg_info.mkdir(parents=True)
    (egg_info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: some-thing\nVersion: 3\n\nText: x\n")
    (egg_info / "entry_points.txt").write_text(f"[{GROUP}]\na = mod\n")
    records, imported = find(site, checkout)
    assert records == [["a", "some-thing", "3", "mod", str(checkout)]]
    assert not imported


def test_zips_and_eggs_are_left_to_importlib_metadata(site: Site, tmp_path: Path) -> None:
    archive = tmp_path / "zipped.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: zipped\nVersion: 1\n")
        file.writestr("zipped-1.dist-info/entry_points.txt", f"[{GROUP}]\nz = zipped_plugin\n")
    egg = tmp_path / "old-2-py3.egg"
    (egg / "EGG-INFO").mkdir(parents=True)
    (egg / "EGG-INFO/PKG-INFO").write_text("Metadata-Version: 1.0\nName: old\nVersion: 2\n")
    (egg / "EGG-INFO/entry_points.txt").write_text(f"[{GROUP}]\no = old_plugin\n")
    records, imported = find(site, archive, egg)
    assert [record[:4] for record in records] == [
        ["o", "old", "2", "old_plugin"],
        ["z", "zipped", "1", "zipped_plugin"],
    ]
    assert imported


def test_an_editable_install_counts(site: Site, tmp_path: Path) -> None:
    # What pip leaves of one: metadata here, and a .pth to the modules there.
    site.install("edit", SOURCE, group=GROUP)
    (site.path / "edit_plugin.py").unlink()
    (site.path / "edit-1.0.dist-info/direct_url.json").write_text(
        '{"url": "file:///x", "dir_info": {"editable": true}}'
    )
    (site.path / "__editable__.edit.pth").write_text(f"{tmp_path}\n")
    assert [record[0] for record in find(site)[0]] == ["edit"]


def test_distributions_of_foreign_finders_count(site: Site, tmp_path: Path) -> None:
    elsewhere = Site(tmp_path / "elsewhere")
    elsewhere.install("hidden", SOURCE, group=GROUP)
    (site.path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(*args, **more): return None\n"
        "    @staticmethod\n"
        "    def find_distributions(context=None):\n"
        "        from importlib.metadata import MetadataPathFinder\n"
        f"        if context is None or context.path is sys.path or context.path == sys.path:\n"
        f"            yield from MetadataPathFinder.find_distributions(type(context)(path=[{str(elsewhere.path)!r}]))\n"
        "sys.meta_path.append(Finder)\n"
    )
    records, imported = find(site)
    assert [record[0] for record in records] == ["hidden"]
    assert imported


def test_entries_of_the_path_that_are_not_there_are_passed_over(site: Site, tmp_path: Path) -> None:
    site.install("a", SOURCE, group=GROUP)
    assert [record[0] for record in find(site, tmp_path / "nowhere")[0]] == ["a"]


def record(name: str, distribution: str, target: str = "") -> PluginRecord:
    return PluginRecord(name, distribution, "1", target or f"{distribution}.plugin", "/")


RECORDS = (
    record("apiserver", "hyperkube-apiserver"),
    record("kube-apiserver", "hyperkube-apiserver"),
    record("dns", "hyperkube-dns"),
    record("one", "acme-servers", "acme.one"),
    record("two", "acme-servers", "acme.two"),
)


@pytest.mark.parametrize(
    ("limit", "names"),
    [
        (None, ["apiserver", "kube-apiserver", "dns", "one", "two"]),
        ("", []),
        (" , ", []),
        ("dns", ["dns"]),
        ("kube-apiserver", ["apiserver", "kube-apiserver"]),
        ("Hyperkube_DNS", ["dns"]),
        ("acme-servers, dns", ["dns", "one", "two"]),
        ("one", ["one"]),
        ("nobody", []),
    ],
)
def test_load_plugins_names_distributions_or_servers(limit: str | None, names: Sequence[str]) -> None:
    assert [item.name for item in limited(RECORDS, limit)] == names


def test_distributions_are_normalised() -> None:
    assert normalised("My_Cool..Plugin-x") == "my-cool-plugin-x"
