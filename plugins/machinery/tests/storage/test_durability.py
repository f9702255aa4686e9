"""What was acknowledged is there, whatever happens to the process, to the disk and to the log."""

from __future__ import annotations

import asyncio
import os
import random
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from _storecontract import all_changes, changes_upto

from hyperkube_machinery.storage.interface import Change, Entry, Revision, Unavailable
from hyperkube_machinery.storage.sqlite import SQLiteStore
from hyperkube_machinery.testing.clock import VirtualClock

from .load import digest, is_whole, whole

pytestmark = pytest.mark.anyio

LOAD = Path(__file__).with_name("load.py")


@dataclass(frozen=True)
class Acknowledged:
    revision: int
    verb: str
    key: str
    digest: str


def acknowledged(output: str) -> list[Acknowledged]:
    """Of the lines that are whole."""
    lines = [line.split() for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return [Acknowledged(int(line[1]), *line[2:]) for line in lines if line[0] == "acknowledged"]


async def check_history(path: Path) -> list[Change]:
    """Everything that was ever written to the store, once all of it is known to be whole and to fit together."""
    async with SQLiteStore.open(path, clock=VirtualClock()) as store:
        changes = await all_changes(store, "", after=Revision(1))
        entries = (await store.range("")).entries
        next_revision = (await store.create("/after", b"")).mod_revision
    assert [change.revision for change in changes] == list(range(2, next_revision))
    live: dict[str, Entry] = {}
    for change in changes:
        assert live.pop(change.key, None) == change.previous
        if change.entry is not None:
            assert is_whole(change.entry)
            live[change.key] = change.entry
    assert entries == [live[key] for key in sorted(live)]
    return changes


def check_acknowledged(claims: list[Acknowledged], changes: list[Change]) -> None:
    by_revision = {change.revision: change for change in changes}
    for claim in claims:
        change = by_revision[Revision(claim.revision)]
        assert change.key == claim.key
        assert (change.entry is None) == (claim.verb == "delete")
        assert change.entry is None or digest(change.entry.value) == claim.digest


class TestKill:
    @pytest.mark.parametrize("number", range(12))
    def test_what_was_acknowledged_before_a_sigkill_is_found(self, number: int, tmp_path: Path) -> None:
        seed = random.SystemRandom().randrange(2**32)
        print(f"seed {seed}")
        moment = random.Random(seed).randrange(1, 600)  # in lines
        path = tmp_path / "hk.db"
        command = [sys.executable, str(LOAD), str(path), str(seed), "100000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(moment)]
            process.kill()
            lines += process.stdout.readlines()
        claims = acknowledged(b"".join(lines).decode())
        assert len(claims) >= moment
        check_acknowledged(claims, asyncio.run(check_history(path)))


class TestSyncs:
    """A kill shows no missing sync, since the system keeps what was written; so the order of system calls is read."""

    def trace(self, strace: Path, folder: Path, *options: str) -> list[str]:
        log = folder / "trace"
        tracing = [str(strace), "-f", "-y", "-s", "100000", "-e", "trace=write,pwrite64,fdatasync,fsync"]
        load = [sys.executable, str(LOAD), str(folder / "hk.db"), "1", "60", *options]
        subprocess.run([*tracing, "-o", str(log), *load], check=True, stdout=subprocess.DEVNULL, timeout=120)
        return log.read_text(errors="replace").splitlines()

    def test_every_acknowledgement_follows_a_sync_of_what_it_acknowledges(self, strace: Path, tmp_path: Path) -> None:
        seen, unsynced = read_trace(self.trace(strace, tmp_path))
        assert seen >= 60
        assert unsynced == []

    def test_a_store_that_does_not_sync_is_found_out(self, strace: Path, tmp_path: Path) -> None:
        _, unsynced = read_trace(self.trace(strace, tmp_path, "unsynced"))
        assert len(unsynced) > 30

    def test_a_sync_that_fails_fails_its_writes_and_no_others(self, strace: Path, tmp_path: Path) -> None:
        path = tmp_path / "hk.db"
        output = self.fail_syncs(strace, path, "30+7", "400")
        claims = acknowledged(output)
        refusals = [line for line in output.splitlines() if line.startswith("refused")]
        assert output.endswith("end\n")
        assert len(refusals) >= 8
        assert "disk I/O error" in refusals[0]
        assert len(claims) > 100
        assert output.rfind("acknowledged") > output.find("refused")
        changes = asyncio.run(check_history(path))
        check_acknowledged(claims, changes)
        told = next(line.split()[1:] for line in output.splitlines() if line.startswith("told"))
        assert [int(revision) for revision in told] == [change.revision for change in changes]
        hidden = {change.key for change in changes} - {claim.key for claim in claims}
        for refusal in refusals:  # what it says of the write's fate is so
            if refusal.endswith("nothing was written") and refusal.split()[1] == "create":
                assert refusal.split()[2] not in hidden

    @pytest.mark.parametrize("when", range(14, 22))  # counted for each thread; opening takes 13
    def test_what_is_said_of_a_write_whose_sync_failed_is_so_after_a_crash(
        self, when: int, strace: Path, tmp_path: Path
    ) -> None:
        """The log holds that write whole: nothing but its sync failed."""
        path = tmp_path / "hk.db"
        output = self.fail_syncs(strace, path, str(when), "400", "dies")
        refusals = [line.split() for line in output.splitlines() if line.startswith("refused")]
        assert refusals
        changes = asyncio.run(check_history(path))
        check_acknowledged(acknowledged(output), changes)
        claimed = {claim.key for claim in acknowledged(output)}
        for _, verb, key, *told in refusals:
            assert " ".join(told).endswith("nothing was written")
            assert verb != "create" or key in claimed or key not in {change.key for change in changes}

    def fail_syncs(self, strace: Path, path: Path, when: str, *options: str) -> str:
        """What a load prints whose syncs fail at times: strace's `when`."""
        failing = [str(strace), "-f", "-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=EIO:when={when}"]
        load = [sys.executable, str(LOAD), str(path), "2", *options]
        return subprocess.run(
            [*failing, "-o", f"{path}.trace", *load], capture_output=True, text=True, timeout=120, check=True
        ).stdout


def read_trace(lines: list[str]) -> tuple[int, list[str]]:
    """How many acknowledgements the trace has, and the keys of those that came before a sync of their write."""
    writes: dict[str, int] = {}  # by key: after which line the log had its newest write
    synced = -1  # what the log had before this line is durable
    began: dict[str, int] = {}  # by process: the line in which a sync began
    seen = 0
    unsynced = []
    for number, line in enumerate(lines):
        process, _, call = line.partition(" ")
        call = call.strip()
        if re.match(r"pwrite64\(\d+<[^>]*-wal>", call):
            for key in re.findall(r"key-\d{6}-", call):
                writes[key] = number
        elif re.match(r"f(data)?sync\(\d+<[^>]*-wal>", call):
            if "<unfinished" in call:
                began[process] = number
            elif call.endswith("= 0"):
                synced = number
        elif re.match(r"<\.\.\. f(data)?sync resumed>", call) and process in began and call.endswith("= 0"):
            synced = max(synced, began.pop(process))
        elif found := re.match(r'write\(1<[^>]*>, "acknowledged \d+ (\w+) \S*(key-\d{6}-)', call):
            seen += 1
            # A page with an older write of the same key, or of its neighbour, is written again by later batches: so
            # this asks for more than it must, of a run that is small enough.
            verb, key = found.groups()
            if verb == "create" and not writes[key] < synced:
                unsynced.append(key)
    return seen, unsynced


class TestLogCut:
    """A machine that loses power keeps a part of the log: any part must be a prefix of history."""

    async def make(self, folder: Path) -> tuple[Path, list[int], list[Change]]:
        """A store whose log has several commits: a copy of it, the revision each commit ended at, and its history."""
        path = folder / "hk.db"
        ends = [1]
        async with SQLiteStore.open(path, clock=VirtualClock()) as store:
            for number in range(8):
                batch = [
                    store.create(key, whole(key, random.Random(key).randbytes(30_000 if key.endswith("/1") else 1500)))
                    for key in (f"/{number}/{each}" for each in range(1 + number % 5))
                ]
                entries = await asyncio.gather(*batch)
                ends.append(entries[-1].mod_revision)
                if number % 3 == 2:
                    ends.append(await store.delete(entries[0].key, expected=entries[0].mod_revision))
            changes = await all_changes(store, "", after=Revision(1))
            lay_out(folder / "copy", folder, (folder / "hk.db-wal").read_bytes())
        return folder / "copy", ends, changes

    async def test_a_log_cut_anywhere_opens_to_a_prefix_of_history(self, tmp_path: Path) -> None:
        copy, ends, changes = await self.make(tmp_path)
        log = (copy / "hk.db-wal").read_bytes()
        frame = 24 + int.from_bytes(log[8:12], "big")
        frames = (len(log) - 32) // frame
        assert frames > 2 * len(ends)
        cuts = {0, 31, 32, len(log)}
        for number in range(frames):
            start = 32 + number * frame
            cuts |= {start, start + 13, start + frame // 2}
        reached = []
        for cut in sorted(cuts):
            reached.append(await self.open_cut(tmp_path / "cut", copy, log[:cut], changes))
        assert reached == sorted(reached)
        assert sorted(set(reached)) == sorted(set(ends))  # each commit is there whole or not at all

    async def test_a_log_torn_anywhere_opens_to_a_prefix_of_history(self, tmp_path: Path) -> None:
        copy, ends, changes = await self.make(tmp_path)
        log = (copy / "hk.db-wal").read_bytes()
        frame = 24 + int.from_bytes(log[8:12], "big")
        for start in range(32, len(log), frame):
            torn = bytearray(log)
            torn[start + frame // 2 : start + frame] = bytes(frame - frame // 2)
            if torn == log:
                continue  # the page ended in zeros anyway
            assert await self.open_cut(tmp_path / "torn", copy, bytes(torn), changes) in ends

    async def open_cut(self, folder: Path, copy: Path, log: bytes, changes: list[Change]) -> int:
        """The newest revision that the store with this log has, once it is known to be a prefix of `changes`."""
        lay_out(folder, copy, log)
        found = await check_history(folder / "hk.db")
        assert found == changes[: len(found)]
        return found[-1].revision if found else 1


def lay_out(folder: Path, source: Path, log: bytes) -> None:
    """Put the database of `source` and the log into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(source / "hk.db", folder / "hk.db")
    (folder / "hk.db-wal").write_bytes(log)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Stands for a full disk: the system refuses what would make a file larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestFullDisk:
    async def test_writes_that_find_no_room_fail_alone_and_later_ones_succeed(self, tmp_path: Path) -> None:
        path = tmp_path / "hk.db"
        async with SQLiteStore.open(path, clock=VirtualClock()) as store:
            before = [await store.create(f"/before/{number:02}", b"x" * 1000) for number in range(20)]
            async with aclosing(store.watch("/", after=before[-1].mod_revision)) as watch:
                await anext(watch)
                size = os.stat(f"{path}-wal").st_size
                with files_no_larger_than(size + 50_000):
                    outcomes = await asyncio.gather(
                        *(store.create(f"/full/{number}", b"x" * 20_000) for number in range(10)),
                        return_exceptions=True,
                    )
                    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 10
                    assert "nothing was written" in str(outcomes[0])
                    assert (await store.range("/")).entries == before
                    assert await store.revision() == before[-1].mod_revision
                    small = await store.create("/small", b"x")  # finds room, as the log is moved into the database
                later = await store.create("/later", b"x" * 20_000)
                assert await changes_upto(watch, later.mod_revision) == [
                    Change("/small", small.mod_revision, small, None),
                    Change("/later", later.mod_revision, later, None),
                ]
        async with SQLiteStore.open(path, clock=VirtualClock()) as store:
            assert (await store.range("/")).entries == [*before, later, small]

    async def test_a_store_without_any_room_refuses_writes_and_still_reads(self, tmp_path: Path) -> None:
        path = tmp_path / "hk.db"
        async with SQLiteStore.open(path, clock=VirtualClock()) as store:
            entry = await store.create("/a", b"1")
            with files_no_larger_than(4096):
                for _ in range(3):
                    with pytest.raises(Unavailable):
                        await store.update("/a", b"2", expected=entry.mod_revision)
                    assert await store.get("/a") == entry
                    assert (await store.range("/")).entries == [entry]
                with pytest.raises(Unavailable):
                    await store.compact(entry.mod_revision)
            await store.compact(entry.mod_revision)
            assert (await store.update("/a", b"3", expected=entry.mod_revision)).mod_revision == 3

    async def test_a_refusal_that_rests_on_a_write_that_failed_is_not_told(self, tmp_path: Path) -> None:
        """Of two creations of one key in one commit the second is refused only if the first is durable."""
        async with SQLiteStore.open(tmp_path / "hk.db", clock=VirtualClock()) as store:
            with files_no_larger_than(4096):
                outcomes = await asyncio.gather(
                    store.create("/a", b"1"), store.create("/a", b"2"), return_exceptions=True
                )
            assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
            assert await store.get("/a") is None
