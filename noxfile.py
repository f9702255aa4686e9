# /// script
# requires-python = ">=3.11"
# dependencies = [
#     # As constraints/dev.txt has them; tests/packaging compares.
#     "argcomplete==3.7.2",
#     "nox==2026.10.20",
# ]
# ///
"""Everything that is done to this checkout: run it, test it, check it, build it.

`uv run noxfile.py -s NAME` or, where nox is installed, `nox -s NAME`; `nox -l` lists the sessions. Whatever is
installed from an index is pinned with its hash in `constraints/`. Siblings never are: they come from the checkout or
from wheels built from it, by path, so that no index is asked for their names.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2025.10"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.sessions = ["tests", "lint", "types", "imports"]

ROOT = Path(__file__).resolve().parent
DIST = ROOT / "dist"
DISTRIBUTIONS = {
    "hyperkube-core": ROOT,
    **{f"hyperkube-{path.parent.name}": path.parent for path in sorted((ROOT / "plugins").glob("*/pyproject.toml"))},
}
# What a distribution's wheel must pass where none but its declared dependencies is installed.
TESTS = {
    name: "tests/core" if path == ROOT else f"{path.relative_to(ROOT)}/tests" for name, path in DISTRIBUTIONS.items()
}


@nox.session(venv_backend="none")
def develop(session: nox.Session) -> None:
    """Install the checkout and every tool into .venv."""
    _make_venv(session)


@nox.session(venv_backend="none")
def serve(session: nox.Session) -> None:
    """Run a cluster of this checkout in .hk; what follows `--` is what `hk` does instead."""
    environment = _make_venv(session)
    hk = str(_scripts(environment) / "hk")
    command = [hk, *(session.posargs or ["up", "--data-dir", ".hk"])]
    if not session.posargs:
        session.log("once it is ready: kubectl --kubeconfig .hk/admin.kubeconfig get nodes")
    if os.name == "nt":
        session.run(*command, external=True)
    else:  # nox would stand between the server and Ctrl-C
        sys.stdout.flush()
        os.execv(hk, command)


@nox.session
def tests(session: nox.Session) -> None:
    """Test the checkout, on every core; what follows `--` goes to pytest instead."""
    _install_checkout(session)
    session.run("python", "-m", "pytest", *(session.posargs or _ON_EVERY_CORE))


@nox.session
def coverage(session: nox.Session) -> None:
    """Test the checkout and show the lines that no test reached."""
    _install_checkout(session)
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Check formatting, style and change fragments; `-- --fix` repairs what can be repaired."""
    session.install(*_PINNED)
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", ".")
        session.run("ruff", "format", ".")
    else:
        session.run("ruff", "check", ".")
        session.run("ruff", "format", "--check", ".")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly, in the code and in its tests."""
    _install_checkout(session)
    session.run("mypy", "noxfile.py", "hyperkube_core", "tests", "plugins", "docs")


@nox.session
def imports(session: nox.Session) -> None:
    """Check who may import whom."""
    _install_checkout(session)
    session.run("lint-imports", "--no-cache")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build; a warning is an error."""
    _install_checkout(session)
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every distribution into dist/ and check what is in it."""
    session.install(*_PINNED)
    shutil.rmtree(DIST, ignore_errors=True)
    _build(session)
    session.run("python", "-m", "pytest", "-q", "tests/packaging/test_wheels.py", env={"HK_TEST_WHEELS": str(DIST)})


@nox.session
@nox.parametrize("distribution", list(DISTRIBUTIONS))
def isolated(session: nox.Session, distribution: str) -> None:
    """Install one wheel with nothing but what it declares, as old as it allows, and run its tests outside the checkout.

    Only on the lowest Python are there wheels that old; on later ones the dependencies are the pinned ones.
    """
    if not DIST.exists():
        session.install(*_PINNED)
        _build(session)
    shutil.rmtree(session.virtualenv.location, ignore_errors=True)
    session.virtualenv.create()
    session.install(*(str(_wheel(name)) for name in (distribution, *_siblings(distribution))), *_CONSTRAINED)
    with tempfile.TemporaryDirectory(prefix="hk-isolated-") as folder:
        with session.chdir(folder):
            session.run(_uv(), "pip", "check", "--quiet", "--python", session.virtualenv.location, external=True)
            session.run("python", "-c", _IMPORT_ALL, distribution.replace("-", "_"))
        session.install("--group", "test", *_CONSTRAINED)
        _copy_tests(Path(folder), TESTS[distribution])
        with session.chdir(folder):
            session.run("python", "-m", "pytest", "-q", TESTS[distribution], *(session.posargs or _ON_EVERY_CORE))


@nox.session
def e2e(session: nox.Session) -> None:
    """Test real containers and the network of a real node: as root, with containerd and all it needs from Debian."""
    _install_checkout(session)
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/e2e"]), env={"HK_TEST_E2E": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure, in ratios within one run; `-- NAME …` chooses among the modules of tests/bench."""
    _install_checkout(session)
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session(venv_backend="none")
def constraints(session: nox.Session) -> None:
    """Pin anew what development and CI install; `-- --upgrade` looks for newer versions."""
    compile_ = [
        *(_uv(), "pip", "compile", "--quiet", "--generate-hashes", "--universal", "--python-version", "3.11"),
        *("--no-emit-index-url", "--no-emit-find-links", "--fork-strategy", "fewest"),
        *("--custom-compile-command", "nox -s constraints"),
    ]
    for name in DISTRIBUTIONS:
        compile_ += ["--no-emit-package", name]
    projects = [str((path / "pyproject.toml").relative_to(ROOT)) for path in DISTRIBUTIONS.values()]
    for target, options in {
        "dev.txt": ("--group", "dev"),
        "oldest.txt": ("--resolution", "lowest-direct", "--group", "test"),
    }.items():
        command = (*compile_, *session.posargs, *projects, *options, "-o", f"constraints/{target}")
        session.run(*command, external=True, silent=True)
    (ROOT / "constraints" / "uv.txt").write_text(_block("uv"))


# A module stays in one process, so that its tests share what it started, and modules keep their order: the slow ones
# of the whole system come first, many quick ones last, so that no core waits long for another at the end.
_ON_EVERY_CORE = ("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder")
_PINNED = ("--require-hashes", "-r", str(ROOT / "constraints" / "dev.txt"))
_OLDEST = "oldest.txt" if sys.version_info[:2] == (3, 11) else "dev.txt"
_CONSTRAINED = ("-c", str(ROOT / "constraints" / _OLDEST))
# The builder is among what is pinned; isolation would fetch another.
_CHECKOUT = (
    *("--no-deps", "--no-build-isolation"),
    *(argument for path in DISTRIBUTIONS.values() for argument in ("-e", str(path))),
)


# Before any tool of the tests is there: a dependency that a module needs and nobody declared fails here.
_IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
names = [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
names = [name for name in names if not name.endswith(".__main__") and not name.endswith(".testing.fixtures")]
for name in names:
    importlib.import_module(name)
print(f"{package.__file__}: all {len(names)} modules import")
"""


def _install_checkout(session: nox.Session) -> None:
    session.install(*_PINNED)
    session.install(*_CHECKOUT)


def _make_venv(session: nox.Session) -> Path:
    environment = ROOT / ".venv"
    create = (_uv(), "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(environment))
    install = (_uv(), "pip", "install", "--python", str(environment))
    session.run(*create, external=True)
    session.run(*install, *_PINNED, external=True, silent=True)
    session.run(*install, *_CHECKOUT, external=True, silent=True)
    return environment


def _siblings(distribution: str) -> list[str]:
    """The distributions of the checkout that `distribution` asks for, and those that they ask for."""
    project = tomllib.loads((DISTRIBUTIONS[distribution] / "pyproject.toml").read_text())["project"]
    asked = [name.partition("==")[0] for name in project["dependencies"] if name.partition("==")[0] in DISTRIBUTIONS]
    return list(dict.fromkeys([*asked, *(further for name in asked for further in _siblings(name))]))


def _build(session: nox.Session) -> None:
    for path in DISTRIBUTIONS.values():
        session.run(_uv(), "build", "--quiet", "--no-build-isolation", "--out-dir", str(DIST), str(path), external=True)


def _wheel(distribution: str) -> Path:
    (found,) = DIST.glob(f"{distribution.replace('-', '_')}-*.whl")
    return found


def _copy_tests(target: Path, folder: str) -> None:
    """Lay the tests of one distribution out as in the checkout, with what they share and without what they test."""
    for part in (folder, "tests/_fixtures"):
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "tests/conftest.py", "plugins/conftest.py"):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, target / file)


def _block(requirement: str) -> str:
    """The lines of constraints/dev.txt that pin `requirement`."""
    lines = (ROOT / "constraints" / "dev.txt").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{requirement}=="))
    end = next(n for n, line in enumerate(lines[start + 1 :], start + 1) if not line.startswith("    --hash"))
    return "\n".join(lines[start:end]).removesuffix(" \\") + "\n"


def _scripts(environment: Path | str) -> Path:
    return Path(environment) / ("Scripts" if os.name == "nt" else "bin")


def _uv() -> str:
    """The uv that runs this, or the one on the path."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        sys.exit("uv is missing: `python3 -m pip install uv`")
    return uv


if __name__ == "__main__":
    nox.main()
