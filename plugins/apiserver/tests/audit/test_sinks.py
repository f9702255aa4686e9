"""Where audit events go: files that rotate, batches, what is cut short, a server."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
import stat
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hyperkube_apiserver.audit.auditor import AuditLog
from hyperkube_apiserver.audit.events import Event, as_line
from hyperkube_apiserver.audit.logfile import LogFile, Retention, StandardOutput
from hyperkube_apiserver.audit.opening import open_audit
from hyperkube_apiserver.audit.sinks import Batches, Both, Buffered, Lenient, LogSink, Sink, Truncated
from hyperkube_apiserver.audit.writing import Aside
from hyperkube_apiserver.auditoptions import AuditOptions, check_audit_options
from hyperkube_core import SettingsError
from hyperkube_core.testing import VirtualClock
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.listener import bind
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.waiting import until

pytestmark = pytest.mark.anyio

POLICY = "kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: RequestResponse}]\n"


def event(name: str = "a", **fields: Any) -> Event:
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": name,
        "stage": "ResponseComplete",
        "requestURI": "/x?y=z",
        "verb": "get",
        "user": {"username": "jane"},
        "requestReceivedTimestamp": "2026-01-02T03:04:05.678900Z",
        **fields,
    }


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


class Failed(list[tuple[str, str, list[str]]]):
    def __call__(self, plugin: str, why: str, events: Collection[Event]) -> None:
        self.append((plugin, why, [one["auditID"] for one in events]))


class Kept:
    """A sink that keeps batches; `open` lets it go on."""

    def __init__(self, *, works: bool = True) -> None:
        self.batches: list[list[str]] = []
        self.events: list[Event] = []
        self.works = works
        self.open = asyncio.Event()
        self.open.set()

    async def process(self, events: Sequence[Event]) -> bool:
        await self.open.wait()
        self.batches.append([one["auditID"] for one in events])
        self.events += events
        return self.works

    async def run(self) -> NoReturn:
        await asyncio.get_running_loop().create_future()
        raise AssertionError


@asynccontextmanager
async def running(sink: Sink | LogFile | AuditLog | Aside) -> AsyncIterator[None]:
    task = asyncio.create_task(sink.run())
    try:
        yield
    finally:
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _has(got: list[Any], count: int) -> bool:
    return len(got) >= count


class TestFiles:
    def retention(self, **fields: Any) -> Retention:
        return Retention(**{"megabytes": 1, "days": 0, "files": 0, "compress": False, **fields})

    def full(self, folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir() if path.name != "audit.log")

    async def test_a_new_file_is_its_owners_alone_and_an_old_one_is_gone_on_with(self, tmp_path: Path) -> None:
        path = tmp_path / "logs" / "audit.log"
        umask = os.umask(0)
        try:
            file = LogFile(path, self.retention(), VirtualClock())
        finally:
            os.umask(umask)
        file.write(b"a\n")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        LogFile(path, self.retention(), VirtualClock()).write(b"b\n")
        assert path.read_bytes() == b"a\nb\n"

    async def test_a_full_file_is_put_aside_under_the_time(self, tmp_path: Path) -> None:
        clock = VirtualClock()
        file = LogFile(tmp_path / "audit.log", self.retention(), clock)
        half = b"x" * (1 << 19)
        for _ in range(3):
            file.write(half)
        (name,) = self.full(tmp_path)
        assert name.startswith("audit-2")
        assert name.endswith(".log")
        assert (tmp_path / name).read_bytes() == half * 2
        assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600

    async def test_a_line_that_fits_no_file_is_refused(self, tmp_path: Path) -> None:
        file = LogFile(tmp_path / "audit.log", self.retention(), VirtualClock())
        with pytest.raises(OSError, match="write length 1048577 exceeds maximum file size 1048576"):
            file.write(b"x" * ((1 << 20) + 1))

    async def test_without_a_size_a_file_is_never_full(self, tmp_path: Path) -> None:
        file = LogFile(tmp_path / "audit.log", self.retention(megabytes=0), VirtualClock())
        for _ in range(3):
            file.write(b"x" * (1 << 20))
        assert self.full(tmp_path) == []

    @pytest.mark.parametrize(("kept", "count"), [({"files": 2}, 2), ({"days": 2}, 3), ({}, 5)])
    async def test_old_files_go_by_number_and_by_age(self, tmp_path: Path, kept: Any, count: int) -> None:
        clock = VirtualClock()
        file = LogFile(tmp_path / "audit.log", self.retention(**kept), clock)
        async with running(file):
            for _ in range(6):
                file.write(b"x" * (1 << 20))
                await clock.advance(86400 * 0.9)
            file.write(b"x")
            await until(lambda: len(self.full(tmp_path)) <= count + 1)
            (tmp_path / "audit-notes.log").touch()  # somebody else's
        assert len([name for name in self.full(tmp_path) if name != "audit-notes.log"]) in (count, count + 1)

    async def test_nothing_is_written_to_what_is_closed(self, tmp_path: Path) -> None:
        file = LogFile(tmp_path / "audit.log", self.retention(), VirtualClock())
        aside = Aside(file)
        async with running(aside):
            assert await aside.write([b"a"]) == [None]
        with pytest.raises(OSError, match="the file is closed"):
            file.write(b"b")

    async def test_the_half_line_of_a_server_that_was_killed_spoils_no_other(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.log"
        path.write_bytes(b'{"auditID":"a"}\n{"audi')
        LogFile(path, self.retention(), VirtualClock()).write(b"b\n")
        assert path.read_bytes() == b'{"auditID":"a"}\n{"audi\nb\n'
        LogFile(path, self.retention(), VirtualClock()).write(b"c\n")
        assert path.read_bytes().endswith(b"\nb\nc\n")

    async def test_what_does_not_fit_on_the_disk_leaves_no_half_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "audit.log"
        file = LogFile(path, self.retention(), VirtualClock())
        file.write(b"first\n")
        write, room = os.write, [3, 0]

        def full(descriptor: int, data: bytes) -> int:
            if not (left := room.pop(0) if room else 1 << 20):
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, data[:left])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            file.write(b"second\n")
        file.write(b"third\n")
        assert path.read_bytes() == b"first\nthird\n"

    async def test_files_that_are_full_at_the_same_time_are_all_kept(self, tmp_path: Path) -> None:
        file = LogFile(tmp_path / "audit.log", self.retention(), VirtualClock())
        for _ in range(4):
            file.write(b"x" * (1 << 20))
        assert len(self.full(tmp_path)) == 3

    async def test_many_writers_at_once_lose_nothing_when_files_are_full(self, tmp_path: Path) -> None:
        aside = Aside(LogFile(tmp_path / "audit.log", self.retention(), VirtualClock()))
        lines = [b"%06d" % number + b"x" * 60_000 + b"\n" for number in range(60)]
        async with running(aside):
            assert await asyncio.gather(*(aside.write([line]) for line in lines)) == [[None]] * 60
        written = contents(tmp_path)
        assert sorted(line[:6] for line in written.splitlines()) == [line[:6] for line in lines]

    async def test_full_files_are_compressed(self, tmp_path: Path) -> None:
        file = LogFile(tmp_path / "audit.log", self.retention(compress=True), VirtualClock())
        async with running(file):
            file.write(b"x" * (1 << 20))
            file.write(b"y")
            await until(lambda: any(name.endswith(".log.gz") for name in self.full(tmp_path)))
            await until(lambda: len(self.full(tmp_path)) == 1)
        (name,) = self.full(tmp_path)
        assert gzip.decompress((tmp_path / name).read_bytes()) == b"x" * (1 << 20)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


class TestLines:
    async def test_events_are_lines_of_json_or_of_text(self, tmp_path: Path) -> None:
        failed = Failed()
        for legacy in (False, True):
            path = tmp_path / f"{legacy}.log"
            retention = Retention(megabytes=0, days=0, files=0, compress=False)
            sink = LogSink(Aside(LogFile(path, retention, VirtualClock())), failed, legacy=legacy)
            assert await sink.process([event("a"), event("b")])
            lines = path.read_text().splitlines()
            assert len(lines) == 2
            if not legacy:
                assert [json.loads(line)["auditID"] for line in lines] == ["a", "b"]
        assert lines[0] == (
            '2026-01-02T03:04:05.6789Z AUDIT: id="a" stage="ResponseComplete" ip="<unknown>" method="get" user="jane" '
            'groups="<none>" as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" uri="/x?y=z" '
            'response="<deferred>"'
        )
        assert failed == []

    def test_a_line_of_text_tells_of_groups_and_of_whom_one_acts_as(self) -> None:
        told = as_line(
            event(
                user={"username": "jane", "groups": ["a", "b"]},
                impersonatedUser={"username": "joe", "groups": ["c"]},
                sourceIPs=["192.0.2.1"],
                objectRef={"namespace": "n"},
                responseStatus={"code": 200},
            )
        )
        assert r'groups="\"a\",\"b\"" as="joe" asgroups="\"c\""' in told
        assert 'ip="192.0.2.1"' in told
        assert told.endswith('namespace="n" uri="/x?y=z" response="200"')

    async def test_what_can_not_be_written_is_told_of(self, tmp_path: Path) -> None:
        class Full:
            async def write(self, lines: Sequence[bytes]) -> list[OSError | None]:
                return [OSError("No space left on device") for _ in lines]

            async def run(self) -> NoReturn:
                raise AssertionError

        failed = Failed()
        sink = LogSink(Full(), failed, legacy=False)
        assert not await sink.process([event()])
        assert failed == [("log", "No space left on device", ["a"])]
        assert await Lenient(sink).process([event()])

    async def test_a_reader_that_does_not_read_holds_up_nobody_else(self) -> None:
        theirs, ours = os.pipe()

        class Pipe(StandardOutput):
            def write(self, data: bytes) -> None:
                os.write(ours, data)

        aside = Aside(Pipe())
        async with running(aside):
            waiting = asyncio.create_task(aside.write([b"x" * (1 << 20)]))  # more than a pipe takes
            behind = asyncio.create_task(aside.write([b"y"]))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not waiting.done(), "it is not written yet"
            assert not behind.done()
            read = b""
            while not read.endswith(b"y"):
                read += await asyncio.to_thread(os.read, theirs, 1 << 20)
            assert (await waiting, await behind) == ([None], [None])
        os.close(theirs)
        os.close(ours)

    async def test_a_writer_that_is_closed_fails_its_lines_and_goes_on(self) -> None:
        class Closed(StandardOutput):
            def write(self, data: bytes) -> None:
                if data == b"a":
                    raise ValueError("write to closed file")

        aside = Aside(Closed())
        async with running(aside):
            first, second = await aside.write([b"a", b"b"])
            assert str(first) == "write to closed file"
            assert second is None
        (late,) = await aside.write([b"c"])
        assert "the server ends" in str(late)

    async def test_standard_output_takes_lines(self, capfdbinary: Any) -> None:
        StandardOutput().write(b"line\n")
        assert capfdbinary.readouterr().out == b"line\n"


class TestBatches:
    def batches(self, **fields: Any) -> Batches:
        told = {"buffer_size": 10, "size": 2, "wait_seconds": 30.0, "throttle": False, "qps": 0.0, "burst": 0}
        return Batches(**{**told, "at_once": False, **fields})

    async def test_a_batch_goes_when_it_is_whole_or_has_waited(self) -> None:
        kept, clock = Kept(), VirtualClock()
        sink = Buffered(kept, self.batches(), clock, Failed())
        async with running(sink):
            for name in "abc":
                assert await sink.process([event(name)])
            await until(lambda: kept.batches)
            assert kept.batches == [["a", "b"]]
            for _ in range(5):  # until the third is waited for
                await asyncio.sleep(0)
            for _ in range(5):  # until the third is waited for
                await asyncio.sleep(0)
            await clock.advance(31)
            await until(lambda: len(kept.batches) == 2)
            assert kept.batches[1] == ["c"]

    async def test_what_there_is_no_room_for_is_dropped_and_told_of(self) -> None:
        kept, failed = Kept(), Failed()
        sink = Buffered(kept, self.batches(buffer_size=2), VirtualClock(), failed)
        for name in "abcd":
            assert await sink.process([event(name)]), "nobody waits, and nobody is refused"
        assert failed == [("buffered", "audit buffer queue blocked", [name]) for name in "cd"]

    async def test_what_waits_when_the_server_ends_is_kept(self) -> None:
        kept = Kept()
        sink = Buffered(kept, self.batches(size=10), VirtualClock(), Failed())
        async with running(sink):
            await sink.process([event("a")])
        assert kept.batches == [["a"]]

    async def test_what_can_not_be_kept_in_the_end_is_told_of(self) -> None:
        kept, failed, clock = Kept(), Failed(), VirtualClock()
        kept.open.clear()
        sink = Buffered(kept, self.batches(size=1), clock, failed)
        task = asyncio.create_task(sink.run())
        for name in "ab":
            await sink.process([event(name)])
        await asyncio.sleep(0)
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        await clock.advance(11)
        await asyncio.gather(task, return_exceptions=True)
        assert kept.batches == []
        assert [plugin for plugin, _, _ in failed] == ["buffered"]

    async def test_batches_keep_to_a_rate(self) -> None:
        kept, clock = Kept(), VirtualClock()
        sink = Buffered(kept, self.batches(size=1, throttle=True, qps=1.0, burst=1), clock, Failed())
        async with running(sink):
            await sink.process([event("a"), event("b")])
            await until(lambda: kept.batches)
            assert kept.batches == [["a"]]
            await clock.advance(1.1)
            await until(lambda: len(kept.batches) == 2)

    async def test_several_batches_are_on_their_way_at_once_where_that_is_wanted(self) -> None:
        kept = Kept()
        kept.open.clear()
        sink = Buffered(kept, self.batches(size=1, at_once=True), VirtualClock(), Failed())
        async with running(sink):
            await sink.process([event("a"), event("b")])
            await until(lambda: not sink._waiting)
            kept.open.set()
            await until(lambda: len(kept.batches) == 2)


class TestTruncation:
    async def test_a_large_event_loses_what_was_sent_and_answered(self) -> None:
        kept, failed = Kept(), Failed()
        sink = Truncated(kept, failed, event_bytes=600, batch_bytes=10_000)
        large = event("large", requestObject={"x": "y" * 600}, responseObject={})
        hopeless = event("hopeless", userAgent="x" * 600)
        metadata = event("metadata", userAgent="x" * 600, level="Metadata")
        assert await sink.process([event("small"), large, hopeless, metadata])
        assert kept.batches == [["small", "large"]]
        assert "requestObject" not in kept.events[1]
        assert kept.events[1]["annotations"] == {"audit.k8s.io/truncated": "true"}
        assert "requestObject" in large, "others may keep it whole"
        why = "event is too large even after truncating"
        assert failed == [("truncate", why, ["hopeless"]), ("truncate", why, ["metadata"])]

    async def test_a_large_batch_is_split(self) -> None:
        kept = Kept(works=False)
        sink = Truncated(kept, Failed(), event_bytes=1000, batch_bytes=700)
        assert not await sink.process([event(name) for name in "abcde"])
        assert [len(batch) for batch in kept.batches] == [2, 2, 1]


async def test_events_go_to_several_places_and_are_kept_if_all_keep_them() -> None:
    good, bad = Kept(), Kept(works=False)
    assert not await Both([bad, good]).process([event()])
    assert good.batches == bad.batches == [["a"]]


class TestOptions:
    @pytest.mark.parametrize(
        ("told", "why"),
        [
            ({"audit_log_batch_buffer_size": 0}, "invalid audit batch log buffer size 0, must be a positive number"),
            ({"audit_log_batch_max_size": -1}, "invalid audit batch log max batch size -1, must be a positive number"),
            (
                {"audit_log_batch_throttle_enable": True},
                "invalid audit batch log throttle QPS 0, must be a positive number",
            ),
            (
                {"audit_log_truncate_max_event_size": 0},
                "invalid audit truncate log max event size 0, must be a positive number",
            ),
            (
                {"audit_log_truncate_max_batch_size": 5},
                "invalid audit truncate log max batch size 5, must be greater than max event size (102400)",
            ),
            ({"audit_log_maxage": -1}, "--audit-log-maxage -1 can't be a negative number"),
        ],
    )
    def test_what_makes_no_sense_is_refused_where_it_is_used(self, told: Any, why: str) -> None:
        check_audit_options(AuditOptions(**told))
        with pytest.raises(SettingsError) as caught:
            check_audit_options(AuditOptions(audit_log_path="x", audit_log_mode="batch", **told))
        assert str(caught.value).endswith(why)

    async def test_without_a_policy_or_a_place_there_is_no_log(self, tmp_path: Path) -> None:
        policy = tmp_path / "policy.yaml"
        policy.write_text(POLICY)
        place = str(tmp_path / "audit.log")
        assert open_audit(AuditOptions(audit_log_path=place), VirtualClock(), Registry()) is None
        assert open_audit(AuditOptions(audit_policy_file=policy), VirtualClock(), Registry()) is None
        assert os.listdir(tmp_path) == [policy.name]

    @pytest.mark.parametrize(
        ("told", "flag"),
        [
            ({"audit_policy_file": Path("/none")}, "audit-policy-file"),
            ({"audit_log_path": "/proc/none/audit.log"}, "audit-log-path"),
            ({"audit_webhook_config_file": Path("/none")}, "audit-webhook-config-file"),
        ],
    )
    async def test_what_can_not_be_opened_is_blamed_on_its_flag(self, tmp_path: Path, told: Any, flag: str) -> None:
        policy = tmp_path / "policy.yaml"
        policy.write_text(POLICY)
        with pytest.raises(SettingsError, match=f"--{flag}"):
            open_audit(AuditOptions(**{"audit_policy_file": policy, **told}), VirtualClock(), Registry())


class TestWebhook:
    @asynccontextmanager
    async def kept(self, tmp_path: Path, clock: VirtualClock, answers: list[int], **told: Any) -> AsyncIterator[Any]:
        """An audit log that is sent to a server, and what that got; it answers with `answers`, then with 200."""
        got: list[Any] = []

        def handle(request: Request) -> Response:
            got.append((request.path, json.loads(request.body)))
            return Response(answers.pop(0) if answers else 200, b"")

        sockets = await bind("127.0.0.1", 0, backlog=5)
        server = HTTPServer(handle, clock=clock)
        await server.start(sockets=sockets)
        port = sockets[0].getsockname()[1]
        kubeconfig, policy = tmp_path / "kubeconfig", tmp_path / "policy.yaml"
        kubeconfig.write_text(
            f"apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: {{server: 'http://127.0.0.1:{port}/events'}}\n"
            "users:\n- {name: u, user: {}}\ncontexts:\n- {name: c, context: {cluster: c, user: u}}\n"
        )
        policy.write_text(POLICY)
        options = AuditOptions(audit_policy_file=policy, audit_webhook_config_file=kubeconfig, **told)
        log = open_audit(options, clock, Registry())
        assert log is not None
        try:
            async with running(log):
                yield log, got
        finally:
            await server.drain(0)

    async def test_events_are_sent_as_lists_and_again_until_they_are_taken(self, tmp_path: Path) -> None:
        clock = VirtualClock()
        async with self.kept(tmp_path, clock, [500, 403], audit_webhook_mode="blocking-strict") as (log, got):
            recording = asyncio.create_task(log.record(event("a")))
            for tries in (1, 2):
                await until(partial(_has, got, tries))
                for _ in range(50):
                    await asyncio.sleep(0.001)
                    await clock.advance(0)
                await clock.advance(20)
            assert await recording
        path, body = got[2]
        assert path == "/events"
        assert (body["kind"], body["apiVersion"]) == ("EventList", "audit.k8s.io/v1")
        assert body["items"][0]["auditID"] == "a"
        assert "kind" not in body["items"][0]

    async def test_in_batches_nobody_waits(self, tmp_path: Path) -> None:
        clock = VirtualClock()
        async with self.kept(tmp_path, clock, [], audit_webhook_batch_max_size=2) as (log, got):
            for name in "ab":
                assert await log.record(event(name))
            await until(lambda: got)
            assert [one["auditID"] for one in got[0][1]["items"]] == ["a", "b"]
