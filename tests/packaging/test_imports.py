"""Contracts about imports that import-linter can't tell: who encodes, and what is imported too early."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from _wheels import ROOT, distributions

ENCODER = ROOT / "plugins/machinery/src/hyperkube_machinery/encoding.py"
ENCODING = {
    "orjson": {"dumps"},
    "json": {"dump", "dumps", "JSONEncoder"},
    "msgspec": {"json"},
    "ujson": {"dumps"},
}


def encoders(source: str) -> Iterator[str]:
    """Whatever in `source` could make JSON of an object, as `module.name`."""
    names: dict[str, str] = {}  # what a module is called here
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name if alias.asname else alias.name.partition(".")[0]
                names[alias.asname or module] = alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module in ENCODING and not node.level:
            for alias in node.names:
                if alias.name in ENCODING[node.module]:
                    yield f"{node.module}.{alias.name}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = names.get(node.value.id, "")
            if node.attr in ENCODING.get(module, ()):
                yield f"{module}.{node.attr}"


@pytest.mark.parametrize(
    "source",
    [
        "import orjson\norjson.dumps({})",
        "import orjson as fast\nfast.dumps({})",
        "from orjson import dumps",
        "from json import dumps as text",
        "import json\nwrite = json.dumps",
        "import msgspec.json\nmsgspec.json.encode({})",
    ],
)
def test_every_way_to_encode_is_noticed(source: str) -> None:
    assert list(encoders(source))


@pytest.mark.parametrize("source", ["import orjson\norjson.loads(b'')", "from json import JSONDecodeError"])
def test_decoding_is_no_encoding(source: str) -> None:
    assert not list(encoders(source))


def test_one_module_encodes_what_the_api_server_sends_and_stores() -> None:
    """Other servers may write notes of their own as they like; nobody counts those."""
    paths = [ENCODER, *sorted((ROOT / "plugins" / "apiserver").glob("src/**/*.py"))]
    found = {str(path.relative_to(ROOT)): list(encoders(path.read_text())) for path in paths}
    assert len(found) > 20
    assert set(found.pop(str(ENCODER.relative_to(ROOT)))) == {"orjson.dumps"}
    assert {path: names for path, names in found.items() if names} == {}


def test_every_folder_of_modules_is_a_package() -> None:
    """The tools that check imports don't see the others."""
    folders = {path.parent for path in ROOT.glob("hyperkube_core/**/*.py")}
    folders |= {path.parent for path in (ROOT / "plugins").glob("*/src/*/**/*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def imported_modules(path: Path) -> Iterator[str]:
    """What the module at `path` imports, wherever in it; `from a import b` is `a`, relative imports are left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module)


@pytest.mark.parametrize("plugin", sorted(set(distributions()) - {"hyperkube-core", "hyperkube-machinery"}))
def test_a_plugin_imports_public_names_the_library_and_itself(plugin: str) -> None:
    package = plugin.replace("-", "_")
    allowed = re.compile(rf"hyperkube_core(\.testing)?|hyperkube_machinery(\..*)?|{package}(\..*)?")
    modules = sorted((distributions()[plugin] / "src").rglob("*.py"))
    assert modules
    strangers = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules
        for name in imported_modules(path)
        if name.startswith("hyperkube") and not allowed.fullmatch(name)
    }
    assert strangers == set()


def imported_by(statement: str) -> set[str]:
    """The modules that `statement` imports into a fresh Python."""
    script = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


def test_describing_a_server_imports_nothing_that_runs_or_draws() -> None:
    statement = "from hyperkube_core import Coroutine, Server, hookimpl"
    heavy = {"asyncio", "rich", "rich.console", "typer", "importlib_metadata", "ssl", "yaml"}
    assert imported_by(statement) & heavy == set()


def test_reading_the_api_servers_description_imports_no_server() -> None:
    modules = imported_by("import hyperkube_apiserver.plugin")
    assert "hyperkube_apiserver.plugin" in modules
    own = {name for name in modules if name.startswith("hyperkube_apiserver.")} - {"hyperkube_apiserver.plugin"}
    assert not {name for name in own if name.split(".")[1] in ("server", "storage", "handlers", "watchcache", "kinds")}
    assert not modules & {"asyncio", "orjson", "uvloop", "httptools", "cryptography", "sqlite3"}


NEEDED_BY_FEW = [
    "yaml re2 rich typer click jsonschema",
    "importlib.resources zipfile tempfile difflib csv html gzip",
    "hyperkube_machinery.yamltext hyperkube_machinery.yamloutput",
    "hyperkube_machinery.protobufoutput hyperkube_apiserver.handlers.protobufoutput",
    "hyperkube_apiserver.openapi.documents hyperkube_apiserver.openapi.paths",
    "hyperkube_apiserver.printers.table hyperkube_apiserver.printers.pods",
    "hyperkube_apiserver.handlers.connect.proxies hyperkube_apiserver.handlers.connect.streams",
    "hyperkube_apiserver.registry.core.pods hyperkube_apiserver.registry.podspec.spec",
    "hyperkube_apiserver.registry.apps hyperkube_apiserver.registry.jobs",
    "hyperkube_apiserver.registry.apiextensions.definitions hyperkube_machinery.gourls",
    "hyperkube_apiserver.registry.admissionregistration.policies",
    "hyperkube_apiserver.registry.dynamicresources.claims",
    "hyperkube_apiserver.admission.plugins.eventrates",
    "hyperkube_apiserver.audit.auditor hyperkube_apiserver.audit.policy hyperkube_apiserver.audit.sinks",
    "hyperkube_apiserver.admission.podsecurity.standard hyperkube_apiserver.admission.podsecurity.restricted",
    "hyperkube_apiserver.admission.podsecurity.configuration",
    "hyperkube_apiserver.admission.rules hyperkube_apiserver.admission.selectors hyperkube_machinery.cel",
    "hyperkube_apiserver.admission.policies.model hyperkube_apiserver.admission.webhooks.hooks",
    "hyperkube_apiserver.registry.admissionregistration.rights hyperkube_apiserver.webhooks.caller",
    "hyperkube_apiserver.admission.quotacharges hyperkube_apiserver.admission.quotabatches hyperkube_machinery.quota",
    "hyperkube_apiserver.customresources.resource hyperkube_apiserver.customresources.described",
    "hyperkube_apiserver.customresources.removal hyperkube_apiserver.registry.apiextensions hyperkube_apiserver.crd",
    "hyperkube_apiserver.aggregation.aggregator hyperkube_apiserver.aggregation.backend",
    "hyperkube_apiserver.authn.frontproxy hyperkube_apiserver.authn.oidc hyperkube_apiserver.authn.webhook",
    "hyperkube_apiserver.authz.webhook hyperkube_apiserver.authz.abac hyperkube_apiserver.authz.configuration",
    "hyperkube_apiserver.browserheaders hyperkube_apiserver.configfiles hyperkube_machinery.patterns",
    "hyperkube_apiserver.storage.etcd hyperkube_apiserver.encryption.rules hyperkube_apiserver.encryption.kms h2",
]

START = """
import asyncio, sys
from pathlib import Path
from hyperkube_apiserver.plugin import hyperkube_servers
from hyperkube_core.testing import running

async def start(folder):
    options = {"data_dir": Path(folder), "storage_backend": "memory", "secure_port": 0}
    async with running(hyperkube_servers()[0], options=options):
        print(*sys.modules)

asyncio.run(start(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What a fresh API server has imported when it is ready."""
    command = [sys.executable, "-c", START, str(tmp_path_factory.mktemp("data"))]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


@pytest.mark.parametrize("names", NEEDED_BY_FEW)
def test_a_start_imports_nothing_that_few_requests_need(started: set[str], names: str) -> None:
    assert "hyperkube_apiserver.registry.core.services" in started  # of which it makes one
    assert started & set(names.split()) == set()


def test_what_few_requests_need_is_there_for_them() -> None:
    """So that the test above tells of modules that there are."""
    own = [name for names in NEEDED_BY_FEW for name in names.split() if name.startswith("hyperkube")]
    assert [name for name in own if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize("blocked", ["uvloop"])
def test_everything_imports_where_uvloop_is_not(blocked: str) -> None:
    modules = [
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        for folder in (ROOT, ROOT / "plugins/machinery/src", ROOT / "plugins/apiserver/src")
        for package in folder.glob("hyperkube_*")
        for path in sorted(Path(package).rglob("*.py"))
        if path.stem != "__main__"
    ]
    assert len(modules) > 40
    script = f"import importlib, sys\nsys.modules[{blocked!r}] = None\n"
    script += f"for name in {modules!r}: importlib.import_module(name)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
