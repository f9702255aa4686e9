"""Keys that a service guards: what is written, what is asked of the service when, and what becomes of its failures."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.encryption.keeping import RELOAD_SECONDS, ReloadMetrics, keep_rules, primed
from hyperkube_apiserver.encryption.kms.envelope import KEY, BadEnvelope, DEKSource, ExtendedKey, seal, unseal
from hyperkube_apiserver.encryption.kms.service import socket_of
from hyperkube_apiserver.encryption.providers import AESGCMKey, Undecipherable
from hyperkube_apiserver.encryption.rules import KeyServices, Rules, ServiceFailed, read_rules
from hyperkube_apiserver.encryption.store import EncryptedStore, Resources
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.grpc import CallFailed, Code, Messages
from hyperkube_machinery.grpc.server import GRPCServer, unary
from hyperkube_machinery.serving.exposition import exposition
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.storage.interface import Unavailable
from hyperkube_machinery.storage.memory import MemoryStore
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

SECRET = "/registry/secrets/default/s"
PLAIN = b'{"kind":"Secret","data":"the-plain-text"}'
MESSAGES = Messages(
    """
    Annotation: key=1:string value=2:bytes
    StatusRequest:
    StatusResponse: version=1:string healthz=2:string key_id=3:string
    EncryptRequest: plaintext=1:bytes uid=2:string
    EncryptResponse: ciphertext=1:bytes key_id=2:string annotations=3:Annotation*
    DecryptRequest: ciphertext=1:bytes uid=2:string key_id=3:string annotations=4:Annotation*
    DecryptResponse: plaintext=1:bytes
    """
)


# What kube-apiserver 1.36.2 has written in etcd with the service of below.
UPSTREAM = base64.b64decode(
    "azhzOmVuYzprbXM6djI6b25lOgqZAkzmUIoL6UlIXcyZPrW0ZnkDJBs5By4bhmqtHLjrv16GN4zu0j18OM4AflXBsZUX5lF6Hnr8lS/Tttgag/"
    "fxuzSE4N/cO4FzUI0Orn/3Rq61u6Yt4VFwiE8xXfg6gYVLS+zyewiFuJqYNehK8WQoE7dIrQteOgrWonw+yIyCwTZkgGK1VdZovSL9y/aFWGlm"
    "+hyAK3AvREnFbc4cn8B/9GlTl/X3N+aD3hvz0L7AnzJyE4NVAoXFrEbRyYsnf5tbfccJDtS8cliibgqmQwGlVZpDfio6zEjsSDy7aOsiMqcn3g"
    "B1FyPU5md0M6yAUXrREGcH3aNLanOefUIjiGge/J/seSObtjTN0EirfOuQD4Gl8ApJGeCGR3YyEgVmaXJzdBog4fjhMXHwfpP1hHCHBk8/Ueew"
    "g8mA48QxeNZpateVS2ciGQoTdmVyc2lvbi5leGFtcGxlLmNvbRIC/zEoAQ=="
)


class Service:
    """A key service whose keys are single bytes, each named by a text."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key_id = "first"
        self.encrypts_with = ""  # another key than it says
        self.healthz, self.version = "ok", "v2"
        self.annotations = [{"key": "version.example.com", "value": b"\xff1"}]
        self.failure: CallFailed | None = None
        self.calls: list[str] = []

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"version": self.version, "healthz": self.healthz, "key_id": self.key_id}

    async def _encrypt(self, asked: dict[str, Any]) -> dict[str, Any]:
        key_id = self.encrypts_with or self.key_id
        return {
            "ciphertext": self._xored(asked["plaintext"], key_id),
            "key_id": key_id,
            "annotations": self.annotations,
        }

    async def _decrypt(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["annotations"] == self.annotations
        return {"plaintext": self._xored(asked["ciphertext"], asked["key_id"])}

    @staticmethod
    def _xored(data: bytes, key_id: str) -> bytes:
        return bytes(byte ^ key_id.encode()[0] for byte in data)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async def plain(request: Request) -> Response:
            return Response(404, b"")

        def method(name: str, answer: Any) -> Any:
            async def answered(message: bytes) -> bytes:
                self.calls.append(name)
                if self.failure is not None:
                    raise self.failure
                return MESSAGES.encode(f"{name}Response", await answer(MESSAGES.decode(f"{name}Request", message)))

            return unary(answered)

        clock = SystemClock()
        answers = {"Status": self._status, "Encrypt": self._encrypt, "Decrypt": self._decrypt}
        handlers = {f"/v2.KeyManagementService/{name}": method(name, answer) for name, answer in answers.items()}
        server = GRPCServer(handlers, HTTPServer(plain, clock=clock), clock)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self.path))
        listening.listen()
        await server.start([listening])
        try:
            yield
        finally:
            await server.close()
            self.path.unlink()


class World:
    """A service, the file that tells of it, and a store."""

    def __init__(self, folder: Path, raw: MemoryStore, clock: VirtualClock) -> None:
        self.file = folder / "encryption.yaml"
        self.service = Service(folder / "kms.sock")
        self.raw = raw
        self.clock = clock
        self.registry = Registry()
        self.services = KeyServices(clock, self.registry, "here")

    def configure(self, *providers: dict[str, Any]) -> None:
        head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
        self.file.write_text(json.dumps({**head, "resources": [{"resources": ["secrets"], "providers": [*providers]}]}))

    def kms(self, name: str = "one") -> dict[str, Any]:
        return {"kms": {"apiVersion": "v2", "name": name, "endpoint": f"unix://{self.service.path}", "timeout": "3s"}}

    @asynccontextmanager
    async def server(self) -> AsyncIterator[tuple[EncryptedStore, Rules]]:
        """What one API server has."""
        rules = await primed(read_rules(self.file, self.services))
        try:
            yield EncryptedStore(self.raw, rules, Resources({"/registry/secrets": ("", "secrets")})), rules
        finally:
            await rules.close()

    async def told(self) -> str:
        return b"".join([part async for part in exposition(self.registry)]).decode()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def world(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[World]:
    async with MemoryStore.open(clock=clock) as raw:
        world = World(tmp_path, raw, clock)
        world.configure(world.kms(), {"identity": {}})
        yield world


async def test_another_server_reads_what_one_has_written(world: World) -> None:
    async with world.service.running():
        async with world.server() as (store, _):
            for number in range(5):
                await store.create(f"{SECRET}{number}", PLAIN)
            assert len((await store.range("/registry/")).entries) == 5
            assert world.service.calls == ["Status", "Encrypt"], "what it has made itself it does not ask for"
        below = [entry.value for entry in (await world.raw.range("/registry/")).entries]
        assert all(value.startswith(b"k8s:enc:kms:v2:one:") and b"plain" not in value for value in below)
        async with world.server() as (store, _):
            read = await asyncio.gather(*(store.range("/registry/secrets/") for _ in range(3)))
            assert [entry.value for entry in read[0].entries] == [PLAIN] * 5
            assert world.service.calls.count("Decrypt") == 1, "one seed, asked for once"
            assert not await store.is_stale(f"{SECRET}0")
    told = await world.told()
    assert 'kms_operations_latency_seconds_count{provider_name="one",method_name="/v2.KeyManagementService/D' in told
    assert 'apiserver_envelope_encryption_dek_source_cache_size{provider_name="one"} 2' in told
    assert told.count("apiserver_envelope_encryption_key_id_hash_total{") == 2
    assert "first" not in told, "names of keys are not told"


async def test_what_upstream_has_written_is_read(world: World) -> None:
    key = "/registry/secrets/default/from-up"
    async with world.service.running(), world.server() as (store, _):
        await world.raw.create(key, UPSTREAM)
        entry = await store.get(key)
        assert entry is not None
        assert entry.value.startswith(b"k8s\0")
        assert b"the-plain-text" in entry.value
        assert not await store.is_stale(key)


async def test_another_key_of_the_service_makes_what_is_there_stale(world: World) -> None:
    async with world.service.running(), world.server() as (store, rules):
        first = await store.create(SECRET, PLAIN)
        await rules.check()
        assert world.service.calls == ["Status", "Encrypt"], "that it works was known a moment ago"
        world.service.key_id = "second"
        await world.clock.advance(61)
        await rules.check()
        assert await store.is_stale(SECRET)
        await store.update(SECRET, PLAIN, expected=first.mod_revision)
        assert not await store.is_stale(SECRET)
        assert (await store.range("/registry/", revision=first.mod_revision)).entries[0].value == PLAIN


async def test_the_service_is_asked_again_and_again_how_it_is(world: World) -> None:
    async with world.service.running(), world.server() as (_, rules):
        looking = asyncio.create_task(rules.run())
        await world.clock.until_sleeping(60.0)
        world.service.healthz = "sealed"
        await world.clock.advance(60)
        await world.clock.until_sleeping(10.0)
        assert world.service.calls == ["Status", "Encrypt", "Status"]
        world.service.healthz = "ok"
        await world.clock.advance(10)
        await world.clock.until_sleeping(60.0)
        await rules.check()
        looking.cancel()


async def test_nothing_is_written_long_after_the_service_last_worked(world: World) -> None:
    async with world.service.running(), world.server() as (store, rules):
        await store.create(SECRET, PLAIN)
        world.service.failure = CallFailed(Code.INTERNAL, "the vault is sealed")
        await world.clock.advance(179)
        await store.create(f"{SECRET}2", PLAIN)
        await world.clock.advance(2)
        with pytest.raises(Unavailable, match=r'encryptedDEKSource with keyID hash "sha256:[0-9a-f]{64}" expired at 2'):
            await store.create(f"{SECRET}3", PLAIN)
        with pytest.raises(ServiceFailed, match=r"kms-provider-0: failed to perform status.* the vault is sealed"):
            await rules.check()
        entry = await store.get(SECRET)
        assert entry is not None, "the key is remembered"
        world.service.failure = None
        await world.clock.advance(4)
        await rules.check()
        await store.create(f"{SECRET}3", PLAIN)


async def test_a_service_that_is_not_there_is_waited_for_and_then_told(world: World) -> None:
    starting = asyncio.create_task(primed(read_rules(world.file, world.services)))
    for _ in range(40):
        await world.clock.until_sleeping(0.1)
        await world.clock.advance(0.1)
        if starting.done():
            break
    rules = await starting
    store = EncryptedStore(world.raw, rules, Resources({"/registry/secrets": ("", "secrets")}))
    with pytest.raises(Unavailable, match="got unexpected nil transformer"):
        await store.create(SECRET, PLAIN)
    with pytest.raises(ServiceFailed, match="code = DeadlineExceeded desc = context deadline exceeded"):
        await rules.check()
    await world.clock.advance(4)
    async with world.service.running():
        await rules.check()
        await store.create(SECRET, PLAIN)
        await rules.close()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"healthz": "no"}, "kmsv2 Provider one is not healthy, error: got unexpected healthz status: no"),
        ({"version": "v1"}, "expected KMSv2 API version v2, got v1"),
        ({"key_id": ""}, 'got invalid KMSv2 KeyID hash "": keyID is empty'),
        ({"key_id": "k" * 1025}, "keyID is 1025 bytes, which exceeds the max size of 1024"),
        ({"encrypts_with": "other"}, 'failed to rotate DEK uid="[-0-9a-f]{36}", useSeed=true, errState=got unexpected'),
        ({"annotations": [{"key": "a", "value": b""}]}, "should be a domain with at least two segments"),
        ({"annotations": [{"key": "a.b", "value": bytes(33000)}]}, "total size of annotations is 33003"),
    ],
)
async def test_what_is_wrong_with_a_service_is_told(world: World, changes: dict[str, Any], why: str) -> None:
    for name, value in changes.items():
        setattr(world.service, name, value)
    async with world.service.running(), world.server() as (_, rules):
        with pytest.raises(ServiceFailed, match=why):
            await rules.check()


async def test_a_seed_that_cannot_be_decrypted_is_told_with_the_key(world: World) -> None:
    async with world.service.running():
        async with world.server() as (store, _):
            await store.create(SECRET, PLAIN)
        async with world.server() as (store, _):
            world.service.failure = CallFailed(Code.UNAVAILABLE, "the vault is sealed")
            with pytest.raises(
                Unavailable, match=f'unable to transform key "{SECRET}": failed to decrypt DEK, error: rpc'
            ):
                await store.get(SECRET)
            world.service.failure = None
            entry = await store.get(SECRET)
            assert entry is not None
            assert entry.value == PLAIN


async def test_another_service_is_taken_over_once_it_works(world: World) -> None:
    async with world.service.running(), world.server() as (store, _):
        await store.create(SECRET, PLAIN)
        metrics = ReloadMetrics(world.registry, "here")
        keeper = asyncio.create_task(keep_rules(store, world.file, world.clock, world.services, metrics))
        await world.clock.until_sleeping(RELOAD_SECONDS)
        world.configure(world.kms("two"), world.kms(), {"identity": {}})
        world.service.healthz = "no"
        await world.clock.advance(RELOAD_SECONDS)
        await world.clock.until_sleeping(RELOAD_SECONDS)
        assert 'automatic_reloads_total{status="failure"' in await world.told()
        world.service.healthz = "ok"
        await world.clock.advance(RELOAD_SECONDS)
        await world.clock.until_sleeping(RELOAD_SECONDS)
        assert 'automatic_reloads_total{status="success"' in await world.told()
        await store.create(f"{SECRET}2", PLAIN)
        below = await world.raw.get(f"{SECRET}2")
        assert below is not None
        assert below.value.startswith(b"k8s:enc:kms:v2:two:")
        assert await store.is_stale(SECRET)
        keeper.cancel()


def test_what_an_older_server_wrote_with_a_key_of_its_own_is_read() -> None:
    source = DEKSource(b"encrypted", "k", kind=KEY)
    secret = bytes(range(32))
    found, data = unseal(seal(source, AESGCMKey(secret).encrypt(PLAIN, b"about")))
    assert found == source
    assert AESGCMKey(secret).decrypt(data, b"about") == PLAIN


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x0a\x00", b"x" * 31, b"\x0a\x01x\x12\x01k", bytes(64)])
def test_what_is_damaged_is_not_read(data: bytes) -> None:
    with pytest.raises(Undecipherable):
        unseal(data)
    with pytest.raises(Undecipherable):
        ExtendedKey(bytes(32)).decrypt(data, b"")


@pytest.mark.parametrize(
    "source",
    [DEKSource(b"", "k"), DEKSource(b"x" * 1025, "k"), DEKSource(b"x", ""), DEKSource(b"x", "k", kind=2)],
)
def test_a_source_that_upstream_would_not_read_is_not_written(source: DEKSource) -> None:
    with pytest.raises(BadEnvelope):
        source.check()


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [("unix:///run/kms.sock", "/run/kms.sock"), ("unix:///@kms", "\0kms"), ("unix:/run/kms", "/run/kms")],
)
def test_where_a_service_listens(endpoint: str, path: str) -> None:
    assert str(socket_of(endpoint)) == path
