"""Pulling: what registries say, and what they say wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.images.authentication import challenges
from hyperkube_kubelet.images.errors import InvalidReference, InvalidRegistries, PullFailed
from hyperkube_kubelet.images.manifests import machine_platform
from hyperkube_kubelet.images.pulling import ImagePuller
from hyperkube_kubelet.images.registries import Registries
from hyperkube_kubelet.images.store import ImageStore
from hyperkube_kubelet.runtime.values import Credentials
from hyperkube_machinery import tls
from hyperkube_machinery.testing.clock import VirtualClock

from .making import Layout, layer, zipped
from .scripted import Answer, Asked, ScriptedRegistry, registry_of

pytestmark = pytest.mark.anyio

ME = Credentials(username="me", password="secret")
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


@pytest.fixture
def layout() -> Layout:
    return Layout()


@pytest.fixture
def image(layout: Layout) -> dict[str, Any]:
    return layout.image(layer(("bin/app", b"x" * 100_000)), layer(("etc/x", b"y")), compress=zipped)


@pytest.fixture
async def registry(layout: Layout, image: dict[str, Any]) -> AsyncIterator[ScriptedRegistry]:
    async with registry_of(layout) as registry:
        registry.tag("1", image)
        yield registry


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


class HastyClock(VirtualClock):
    """Lets no pause between tries last; waits for answers have no end."""

    async def sleep(self, seconds: float) -> None:
        if seconds >= 60:
            await super().sleep(seconds)


@pytest.fixture
def puller(store: ImageStore) -> ImagePuller:
    return ImagePuller(store, Registries(), HastyClock())


def layers_of(layout: Layout, image: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(layout.members[f"blobs/sha256/{image['digest'][7:]}"])["layers"]
    return found


async def test_layers_are_unpacked_and_nothing_is_left_over(
    puller: ImagePuller, registry: ScriptedRegistry, store: ImageStore, layout: Layout, image: dict[str, Any]
) -> None:
    entry = await puller.pull(f"{registry.address}/team/app:1")
    assert entry.names == (f"{registry.address}/team/app:1",)
    assert entry.digests == (f"{registry.address}/team/app@{image['digest']}",)
    assert (store.root(entry) / "bin/app").stat().st_size == 100_000
    assert list((store.folder / "downloads").iterdir()) == []
    assert store.find(f"{registry.address}/team/app@{image['digest']}") == entry
    asked = len(registry.asked)
    await puller.pull(f"{registry.address}/team/app:1")
    again = registry.targets[asked:]
    assert not [target for target in again for one in layers_of(layout, image) if one["digest"] in target]


async def test_of_an_index_this_machines_image_is_taken(
    puller: ImagePuller, registry: ScriptedRegistry, layout: Layout, image: dict[str, Any], store: ImageStore
) -> None:
    other = layout.image(layer(("a", b"b")), architecture="z80")
    registry.members.update(layout.members)
    system, architecture, _ = machine_platform()
    digest = registry.index(
        "many",
        {**other, "platform": {"os": "linux", "architecture": "z80"}},
        {**image, "platform": {"os": system, "architecture": architecture}},
    )
    entry = await puller.pull(f"{registry.address}/team/app:many")
    assert entry.reference == f"{registry.address}/team/app@{digest}"
    assert store.find(f"{registry.address}/team/app@{digest}") == entry
    registry.index("foreign", {**other, "platform": {"os": "linux", "architecture": "z80"}})
    with pytest.raises(PullFailed, match="no match for platform in manifest: it is made for linux/z80"):
        await puller.pull(f"{registry.address}/team/app:foreign")


async def test_a_blob_that_breaks_off_is_gone_on_with(
    puller: ImagePuller, registry: ScriptedRegistry, layout: Layout, image: dict[str, Any]
) -> None:
    blob = layers_of(layout, image)[0]["digest"]
    body = registry.members[f"blobs/sha256/{blob[7:]}"]
    breaks = iter([10, 20])

    def break_off(asked: Asked) -> Answer | None:
        if blob not in asked.target or (only := next(breaks, None)) is None:
            return None
        begin = int(asked.headers.get("range", "bytes=0-")[6:-1])
        headers = {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"} if begin else {}
        return Answer(206 if begin else 200, body[begin:], headers, only=only)

    registry.scripts.append(break_off)
    await puller.pull(f"{registry.address}/team/app:1")
    ranges = [asked.headers.get("range") for asked in registry.asked if blob in asked.target]
    assert ranges == [None, "bytes=10-", "bytes=30-"]


async def test_a_registry_without_ranges_begins_anew(
    puller: ImagePuller, registry: ScriptedRegistry, layout: Layout, image: dict[str, Any], store: ImageStore
) -> None:
    registry.ranges = False
    blob = layers_of(layout, image)[0]["digest"]
    downloads = store.folder / "downloads"
    downloads.mkdir(parents=True)
    (downloads / f"{blob.replace(':', '-')}.part").write_bytes(b"half of something")
    await puller.pull(f"{registry.address}/team/app:1")


async def test_one_that_keeps_breaking_off_is_given_up(puller: ImagePuller, registry: ScriptedRegistry) -> None:
    registry.scripts.append(lambda asked: Answer(503, b"busy") if "/blobs/" in asked.target else None)
    with pytest.raises(PullFailed, match=r"unexpected status from GET request .* 503: busy"):
        await puller.pull(f"{registry.address}/team/app:1")


@pytest.mark.parametrize("length", ["same", "longer"])
async def test_blobs_are_what_their_digests_say(
    puller: ImagePuller,
    registry: ScriptedRegistry,
    layout: Layout,
    image: dict[str, Any],
    store: ImageStore,
    length: str,
) -> None:
    blob = layers_of(layout, image)[1]["digest"]
    body = registry.members[f"blobs/sha256/{blob[7:]}"]
    registry.members[f"blobs/sha256/{blob[7:]}"] = os.urandom(len(body) + (length == "longer"))
    with pytest.raises(PullFailed, match=r"unexpected commit digest|is longer than"):
        await puller.pull(f"{registry.address}/team/app:1")
    assert store.entries() == []
    registry.members[f"blobs/sha256/{blob[7:]}"] = body
    await puller.pull(f"{registry.address}/team/app:1")


async def test_a_manifest_is_the_one_that_was_asked_for(
    puller: ImagePuller, registry: ScriptedRegistry, image: dict[str, Any]
) -> None:
    registry.scripts.append(lambda asked: Answer(200, b"{}") if "/manifests/" in asked.target else None)
    with pytest.raises(PullFailed, match="unexpected digest sha256:44136"):
        await puller.pull(f"{registry.address}/team/app@{image['digest']}")
    with pytest.raises(PullFailed, match="is not one of version 2"):
        await puller.pull(f"{registry.address}/team/app:1")


async def test_a_registry_that_asks_is_told_who_asks(puller: ImagePuller, registry: ScriptedRegistry) -> None:
    def ask(asked: Asked) -> Answer | None:
        known = asked.headers.get("authorization") == BASIC
        return None if known else Answer(401, b"who?", {"WWW-Authenticate": 'Basic realm="here"'})

    registry.scripts.append(ask)
    name = f"{registry.address}/team/app:1"
    await puller.pull(name, ME)
    with pytest.raises(PullFailed, match="no basic auth credentials"):
        await puller.pull(name)
    with pytest.raises(PullFailed, match=r"pull access denied.*who\?"):
        await puller.pull(name, Credentials(username="me", password="wrong"))


@pytest.mark.parametrize("credentials", [None, ME, Credentials(identity_token="refresh")])
async def test_tokens_are_fetched_where_the_registry_says(
    puller: ImagePuller, registry: ScriptedRegistry, credentials: Credentials | None
) -> None:
    def ask(asked: Asked) -> Answer | None:
        if asked.target.startswith("/token"):
            return Answer(200, b'{"token": "t0"}')
        if asked.headers.get("authorization") == "Bearer t0":
            return None
        realm = f"http://{registry.address}/token"
        value = f'Bearer realm="{realm}",service="reg",scope="repository:team/app:pull"'
        return Answer(401, b"", {"WWW-Authenticate": value})

    registry.scripts.append(ask)
    await puller.pull(f"{registry.address}/team/app:1", credentials)
    [asked] = [one for one in registry.asked if one.target.startswith("/token")]
    if credentials is not None and credentials.identity_token:
        assert (asked.method, asked.target) == ("POST", "/token")
        assert b"refresh_token=refresh" in asked.body
        return
    assert asked.target == "/token?service=reg&scope=repository%3Ateam%2Fapp%3Apull"
    assert asked.headers.get("authorization") == (BASIC if credentials else None)


async def test_nobody_elsewhere_is_told_who_asks(
    puller: ImagePuller, registry: ScriptedRegistry, layout: Layout, image: dict[str, Any]
) -> None:
    async with registry_of(layout) as elsewhere:

        def lead(asked: Asked) -> Answer | None:
            if asked.headers.get("authorization") != BASIC:
                return Answer(401, b"", {"WWW-Authenticate": "Basic"})
            if "/blobs/" in asked.target:
                return Answer(307, b"", {"Location": f"http://{elsewhere.address}{asked.target}?signed=1"})
            return None

        registry.scripts.append(lead)
        await puller.pull(f"{registry.address}/team/app:1", ME)
        assert elsewhere.asked
        assert all("authorization" not in asked.headers for asked in elsewhere.asked)


async def test_where_a_registry_must_not_lead(puller: ImagePuller, registry: ScriptedRegistry) -> None:
    registry.scripts.append(
        lambda asked: Answer(302, b"", {"Location": "http://files.example/x"}) if "/blobs/" in asked.target else None
    )
    with pytest.raises(PullFailed, match="is plain HTTP, which is for loopback alone"):
        await puller.pull(f"{registry.address}/team/app:1")
    registry.scripts[:] = [lambda asked: Answer(302, b"", {"Location": asked.target})]
    with pytest.raises(PullFailed, match="stopped after 6 redirects"):
        await puller.pull(f"{registry.address}/team/app:1")


async def test_a_registry_that_says_nothing_is_given_up(store: ImageStore) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    clock = VirtualClock()
    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        address = "{}:{}".format(*server.sockets[0].getsockname())
        pulling = asyncio.ensure_future(ImagePuller(store, Registries(), clock).pull(f"{address}/team/app:1"))
        while not pulling.done():
            await clock.advance(1)
            await asyncio.sleep(0)
        with pytest.raises(PullFailed, match="no answer within 60 seconds"):
            await pulling
        assert clock.monotonic() < 120


async def test_names_and_absences(puller: ImagePuller, registry: ScriptedRegistry) -> None:
    with pytest.raises(InvalidReference):
        await puller.pull("No/Name")
    name = f"{registry.address}/team/app:none"
    with pytest.raises(PullFailed) as caught:
        await puller.pull(name)
    assert str(caught.value) == (
        f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": {name}: not found'
    )


# Where registries are


async def test_a_mirror_is_asked_first_and_its_registry_where_it_has_nothing(
    registry: ScriptedRegistry, layout: Layout, store: ImageStore, tmp_path: Path
) -> None:
    async with registry_of(layout) as mirror:
        folder = tmp_path / "hosts" / "registry.example"
        folder.mkdir(parents=True)
        text = f'server = "http://{registry.address}"\n[host."http://{mirror.address}"]\ncapabilities = ["pull"]\n'
        (folder / "hosts.toml").write_text(text)
        puller = ImagePuller(store, Registries(tmp_path / "hosts"), HastyClock())
        entry = await puller.pull("registry.example/team/app:1", ME)
        assert entry.names == ("registry.example/team/app:1",)
        assert mirror.targets == ["/v2/team/app/manifests/1?ns=registry.example"]
        assert registry.asked
        mirror.tags["1"] = entry.manifest
        await puller.pull("registry.example/team/app:1")
        assert len(mirror.asked) > 1


async def test_tls_is_believed_by_the_authorities_of_its_folder(
    layout: Layout, image: dict[str, Any], store: ImageStore, tmp_path: Path
) -> None:
    authority = tls.create_ca("tests", now=time.time())
    pair = tls.issue_serving_certificate(authority, "127.0.0.1", ["127.0.0.1"], now=time.time())
    tls.save(pair, tmp_path / "server.crt", tmp_path / "server.key")
    registry = ScriptedRegistry(layout)
    registry.tag("1", image)
    context = tls.server_context(tmp_path / "server.crt", tmp_path / "server.key")
    async with await asyncio.start_server(registry.accept, "127.0.0.1", 0, ssl=context) as server:
        address = "{}:{}".format(*server.sockets[0].getsockname())
        folder = tmp_path / "hosts" / address
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(authority.certificate_pem)
        puller = ImagePuller(store, Registries(tmp_path / "hosts"), HastyClock())
        await puller.pull(f"{address}/team/app:1")
        (folder / "hosts.toml").write_text(f'server = "https://{address}"\n')
        with pytest.raises(PullFailed, match="tls: failed to verify certificate"):
            await puller.pull(f"{address}/team/app:1")


@pytest.mark.parametrize(
    ("domain", "url"),
    [
        ("docker.io", "https://registry-1.docker.io/v2"),
        ("registry.example", "https://registry.example/v2"),
        ("registry.example:5000", "https://registry.example:5000/v2"),
        ("localhost:5000", "http://localhost:5000/v2"),
        ("127.0.0.2:80", "http://127.0.0.2/v2"),
        ("[::1]:5000", "http://[::1]:5000/v2"),
    ],
)
def test_where_registries_are(domain: str, url: str) -> None:
    [endpoint] = Registries().endpoints(domain)
    assert endpoint.url == url


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('server = "http://registry.example"', "is plain HTTP, which is for loopback alone"),
        ('server = "https://r.example"\nskip_verify = true', "skip_verify of https://r.example is not supported"),
        ('server = "https://r.example"\nca = "none.crt"', "no certificates can be read from"),
        ("server = ", "can't be read"),
        ('[host]\n"https://x" = 1', "is no table"),
    ],
)
def test_what_files_of_registries_must_not_say(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "r.example").mkdir()
    (tmp_path / "r.example" / "hosts.toml").write_text(text)
    with pytest.raises(InvalidRegistries, match=why):
        Registries(tmp_path).endpoints("r.example")


def test_challenges_are_read() -> None:
    found = challenges(['Bearer realm="https://a/t",service="a b",scope="x:pull,push", Basic realm="c"', "Negotiate"])
    assert [(one.scheme, one.parameters) for one in found] == [
        ("bearer", {"realm": "https://a/t", "service": "a b", "scope": "x:pull,push"}),
        ("basic", {"realm": "c"}),
        ("negotiate", {}),
    ]
