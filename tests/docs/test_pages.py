"""What the pages tell the reader to type does what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import _pages
import _tools
import pytest
import uv
from _wheels import ROOT, Environment, copy_checkout

PAGES = {
    str(path.relative_to(ROOT)): list(_pages.blocks(path.read_text()))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
    if not path.is_relative_to(ROOT / "docs" / "_build")
}

NOT_RUN = {
    # How many blocks of a page are excused, each with its reason on the page.
    "CONTRIBUTING.md": 2,
    "README.md": 3,
    "docs/how-to/mix-with-upstream.md": 2,
}


IN_CHECKOUT = {"CONTRIBUTING.md"}
"""Pages whose reader is at the top of a checkout."""


INSTALLED = ("hyperkube-core", "hyperkube-machinery", "hyperkube-apiserver")
"""What the pages' reader has, whatever other servers are in the checkout."""

IN_CLUSTERS = {
    "docs/tutorial/first-cluster.md",
    "docs/how-to/encrypt-secrets.md",
    "docs/how-to/join-a-node.md",
    "docs/how-to/keep-a-node-healthy.md",
    "docs/how-to/limit-a-namespace.md",
    "docs/how-to/load-images.md",
    "docs/how-to/pull-images.md",
    "docs/how-to/start-every-server-by-hand.md",
    "docs/how-to/store-in-etcd.md",
    "docs/how-to/use-envtest.md",
    "docs/reference/scheduler.md",
}
"""Pages whose reader has every server."""

TOOLS = ("anyio", "editables", "hatchling", "pytest")
"""What a reader's pip would fetch, or has fetched before the page begins."""


def test_blocks_that_are_not_run_are_counted() -> None:
    found = {page: sum(bool(block.not_run) for block in blocks) for page, blocks in PAGES.items()}
    assert {page: count for page, count in found.items() if count} == NOT_RUN


def test_shell_and_python_blocks_use_the_languages_that_are_run() -> None:
    others = {block.language for blocks in PAGES.values() for block in blocks} & {
        "sh",
        "shell",
        "zsh",
        "pycon",
        "py",
        "",
    }
    assert others == set()


@pytest.mark.parametrize("page", [page for page, blocks in PAGES.items() if any(block.runs for block in blocks)])
def test_page_does_what_it_says(page: str, tmp_path: Path, wheels: Mapping[str, Path]) -> None:
    folder = tmp_path / "reader"
    if page in IN_CHECKOUT:
        copy_checkout(folder)
        environment = _develop(folder, tmp_path)
        variables = environment.variables() | _offline(tmp_path)
    else:
        folder.mkdir()
        environment = Environment.create(tmp_path)
        installed = wheels if page in IN_CLUSTERS else INSTALLED
        environment.install(*(wheels[name] for name in installed), *TOOLS)
        variables = environment.variables() | _reader(environment, tmp_path)
    blocks = PAGES[page]
    if any(re.search(r"\bkubectl\b", block.text) for block in blocks if block.runs):
        environment.program("kubectl").symlink_to(_tools.kubectl()[0])
    if any("busybox" in block.text for block in blocks):
        environment.program("busybox").symlink_to(_tools.busybox())
    try:
        with _pages.shell(folder, variables) as session:
            _pages.run(blocks, session, folder)
    finally:
        for state in tmp_path.rglob("state.json"):  # of a cluster that the page left running, where it failed
            subprocess.run([environment.program("hk"), "down", f"--data-dir={state.parent}"], check=False, timeout=120)


def _develop(checkout: Path, folder: Path) -> Environment:
    """What the `develop` session leaves in `checkout`, and nothing beside it: no pip and no variable that helps."""
    command = [sys.executable, "-m", "nox", "-s", "develop"]
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | {"UV": uv.find_uv_bin()}
    for index in ({"UV_OFFLINE": "1"}, {}):  # the index is asked only where uv's cache does not do
        made = subprocess.run(
            command,
            cwd=checkout,
            env=variables | index,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if made.returncode == 0:
            break
    assert made.returncode == 0, made.stdout + made.stderr
    (folder / "home").mkdir()
    return Environment(checkout / ".venv", folder / "home")


def _reader(environment: Environment, folder: Path) -> dict[str, str]:
    """A `pip` that installs what lies on disk into the page's environment, and asks no index."""
    pip = environment.program("pip")
    pip.write_text(f'#!/bin/sh\nexec "{uv.find_uv_bin()}" --quiet pip "$@"\n')
    pip.chmod(0o755)
    return _offline(folder) | {
        "VIRTUAL_ENV": str(environment.folder),
        "UV_NO_BUILD_ISOLATION": "1",
        "UV_NO_CONFIG": "1",
    }


def _offline(folder: Path) -> dict[str, str]:
    """Keeps uv from every index, and from the cache of whoever runs the tests."""
    return {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder / "cache")}
