"""Operators as their users write them, on custom resources: the examples of kopf, unchanged, and one with webhooks."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _tools
import pytest
import trustme
import yaml

_SECONDS = 45
_AT_ONCE = 4
PLACE = "/apis/kopf.dev/v1/namespaces/{}/kopfexamples"
NAME = "kopf-example-1"


_LET_GO = "Removing the finalizer"


@dataclass(frozen=True)
class Story:
    """What an operator tells once it has dealt with a new object, and once with its end."""

    created: str
    deleted: str = "Deleted, really deleted"
    ready: str = "Starting the watch-stream for kopfexamples"


STORIES: Mapping[str, Story] = {
    "01-minimal": Story("1 succeeded; 0 failed"),
    "02-children": Story("1 succeeded; 0 failed"),
    "03-exceptions": Story("Creation is processed: 1 succeeded; 3 failed"),
    "04-events": Story("1 succeeded; 0 failed"),
    "05-handlers": Story("3 succeeded; 0 failed", deleted="Deletion is processed: 2 succeeded"),
    "07-subhandlers": Story("3 succeeded; 0 failed|Creation is processed: 1 succeeded"),
    "08-events": Story("Event received: ", deleted="'type': 'DELETED'"),
    "11-filtering-handlers": Story("Field daemon is satisfied"),
    "14-daemons": Story("Ping from an async daemon: field='value'", deleted=_LET_GO),
    "15-timers": Story("Ping from a sync timer: field='value'", deleted=_LET_GO),
    "16-indexing": Story("Timer 'intervalled' succeeded", deleted=_LET_GO),
}
"""Those left out wait for half a minute, ask for peers, or (17) for a library that this OpenSSL is too new for."""


@pytest.fixture(scope="module")
def examples() -> Path:
    return _tools.sdist("kopf", version("kopf")) / "examples"


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Any], examples: Path) -> Any:
    started = make_server("--storage-backend=memory", "--disable-admission-plugins=ServiceAccount")
    with started.connect() as connection:
        definition = yaml.safe_load((examples / "crd.yaml").read_text())
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        assert connection.call("POST", path, definition)[0] == 201
        watch = connection.send("GET", f"{path}?watch=1&fieldSelector=metadata.name%3D{definition['metadata']['name']}")
        for line in watch:
            if b'"type":"Established","status":"True"' in line.replace(b" ", b"") or b"Established" in line:
                break
    return started


class Operator:
    """One that runs, and what it has told so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.told = ""

    def until(self, pattern: str) -> str:
        """All that was told, once something like `pattern` was; reading waits for it."""
        assert self._process.stdout is not None
        while not re.search(pattern, self.told):
            line = self._process.stdout.readline()
            assert line, f"it ended before it told {pattern!r}:\n{self.told}"
            self.told += line
        return self.told

    def rest(self) -> str:
        assert self._process.stdout is not None
        self.told += self._process.stdout.read()
        return self.told


@contextmanager
def operator(server: Any, program: Path, *flags: str) -> Iterator[Operator]:
    """Run `kopf run`; it must end well when it is asked to."""
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--verbose", *flags, str(program)]
    environment = {"KUBECONFIG": str(server.kubeconfig), "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=program.parent
    )
    running = Operator(process)
    limit = threading.Timer(_SECONDS, process.kill)  # which ends the reading of what it doesn't tell
    limit.start()
    try:
        yield running
        process.terminate()
        running.rest()
        assert process.wait(_SECONDS) == 0, running.told
    finally:
        limit.cancel()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def made_and_deleted(server: Any, examples: Path, name: str) -> str:
    """What the example tells while an object comes and goes."""
    namespace, story = f"kopf-{name[:2]}", STORIES[name]
    obj = yaml.safe_load((examples / "obj.yaml").read_text())
    with server.connect() as connection:
        assert connection.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})[0] == 201
        with operator(server, examples / name / "example.py", f"--namespace={namespace}") as running:
            running.until(story.ready)
            assert connection.call("POST", PLACE.format(namespace), obj)[0] == 201
            running.until(story.created)
            assert connection.call("DELETE", f"{PLACE.format(namespace)}/{NAME}")[0] == 200
            running.until(story.deleted)
            gone(connection, f"{PLACE.format(namespace)}?fieldSelector=metadata.name%3D{NAME}")
    return running.told


def gone(connection: Any, path: str) -> None:
    """Return once the collection is empty."""
    listed = connection.call("GET", path)[1]
    if not listed["items"]:
        return
    since = listed["metadata"]["resourceVersion"]
    watch = connection.send("GET", f"{path}&watch=1&timeoutSeconds={_SECONDS}&resourceVersion={since}")
    assert any(b'"type":"DELETED"' in line for line in watch)
    connection.close()


@pytest.fixture(scope="module")
def tales(server: Any, examples: Path) -> Mapping[str, Callable[[], str]]:
    """What each example told; most of its time one waits, so that some run at once."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = {name: pool.submit(made_and_deleted, server, examples, name) for name in STORIES}
        return {name: partial(future.result, _SECONDS) for name, future in found.items()}


@pytest.mark.parametrize("name", STORIES)
def test_an_example_of_kopf_runs(tales: Mapping[str, Callable[[], str]], name: str) -> None:
    told = tales[name]()
    if name not in ("03-exceptions", "08-events"):  # which fail on purpose
        assert "Traceback" not in told, told


def test_children_and_events_are_there(server: Any, tales: Mapping[str, Callable[[], str]]) -> None:
    for name in ("02-children", "04-events"):
        tales[name]()
    with server.connect() as connection:
        (pod,) = connection.call("GET", "/api/v1/namespaces/kopf-02/pods")[1]["items"]
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "KopfExample"
        events = connection.call("GET", "/api/v1/namespaces/kopf-04/events")[1]["items"]
        assert ("SomeType", "SomeReason") in {(one["type"], one["reason"]) for one in events}


ADMISSION = """
import kopf

@kopf.on.startup()
def config(settings, **_):
    settings.admission.server = kopf.WebhookServer(
        host="localhost", addr="127.0.0.1", certfile={certificate!r}, pkeyfile={key!r}, cafile={authority!r}
    )
    settings.admission.managed = "test.kopf.dev"

@kopf.on.validate("kopfexamples")
def validate(spec, dryrun, warnings, **_):
    warnings.append("looked at" + (", but not for long" if dryrun else ""))
    if spec.get("field") == "wrong":
        raise kopf.AdmissionError("no such field is liked here", code=422)

@kopf.on.mutate("kopfexamples", labels={{"somelabel": "somevalue"}})
def mutate(patch, **_):
    patch.spec["injected"] = 123
"""


def test_an_operator_has_a_say_in_what_is_written(server: Any, examples: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    files = {name: str(tmp_path / f"{name}.pem") for name in ("certificate", "key", "authority")}
    certificate.cert_chain_pems[0].write_to_path(files["certificate"])
    certificate.private_key_pem.write_to_path(files["key"])
    authority.cert_pem.write_to_path(files["authority"])
    program = tmp_path / "admission.py"
    program.write_text(ADMISSION.format(**files))
    place, obj = PLACE.format("default"), yaml.safe_load((examples / "obj.yaml").read_text())
    kind = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/test.kopf.dev"
    with server.connect() as connection, operator(server, program, "--namespace=default") as running:
        running.until("Reconfiguring the mutating webhook test.kopf.dev|mutating webhook .*test.kopf.dev")
        deadline = time.monotonic() + _SECONDS
        while not connection.call("GET", kind)[1].get("webhooks"):
            assert time.monotonic() < deadline, running.told
        answer = connection.send("POST", place, obj)
        made = yaml.safe_load(answer.read())
        assert (answer.status, made["spec"]["injected"]) == (201, 123), made
        assert answer.headers["Warning"] == '299 - "looked at"'
        obj["metadata"]["name"] = "other"
        status, refusal = connection.call("POST", place, {**obj, "spec": {"field": "wrong"}})
        assert (status, refusal["message"]) == (
            422,
            'admission webhook "validate.test.kopf.dev" denied the request: no such field is liked here',
        )
        connection.call("DELETE", f"{place}/{NAME}")
