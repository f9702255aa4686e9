"""What hk's etcd costs beside etcd itself: `python -m tests.bench.etcd [--writes N] [--synced]`.

Both are asked by the same client, hk's own, in one run and on one disk, which takes a part of each figure. Without
`--synced` etcd is told not to sync; hk's does always.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_fixtures"))

from _etcds import running_etcd

from hyperkube_apiserver.storage.etcd.store import EtcdStore
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.grpc import Channel, Endpoint
from hyperkube_machinery.storage.interface import Revision

VALUE = b"x" * 1500
WRITERS = 32


async def measure(port: int, writes: int) -> dict[str, float]:
    """The figures of one etcd."""
    channel = Channel(Endpoint(host="127.0.0.1", port=port), SystemClock(), largest=1 << 30)
    async with EtcdStore.open(channel, SystemClock()) as store:
        await store.ask_version()
        took = []
        for number in range(min(writes, 300)):
            began = time.perf_counter()
            await store.create(f"/alone/{number:06}", VALUE)
            took.append(time.perf_counter() - began)
        began = time.perf_counter()

        async def write(worker: int) -> None:
            for number in range(writes // WRITERS):
                await store.create(f"/many/{worker}/{number:06}", VALUE)

        await asyncio.gather(*(write(worker) for worker in range(WRITERS)))
        many = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(300):
            await store.get("/alone/000001")
        gets = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(20):
            await store.range("/many/", limit=500)
        pages = time.perf_counter() - began
        last = await store.revision()
        began = time.perf_counter()
        async with aclosing(store.watch("/", after=Revision(1))) as watch:
            told = 0
            async for batch in watch:
                told += len(batch.changes)
                if batch.revision >= last:
                    break
        return {
            "create alone, median ms": 1000 * statistics.median(took),
            "create alone, 99th percentile ms": 1000 * sorted(took)[int(len(took) * 0.99)],
            f"creates/s, {WRITERS} writers": writes // WRITERS * WRITERS / many,
            "get, ms": 1000 * gets / 300,
            "page of 500, ms": 1000 * pages / 20,
            "events replayed/s": told / (time.perf_counter() - began),
        }


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--writes", type=int, default=3200)
    parser.add_argument("--synced", action="store_true")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="hk-bench-") as folder:
        quick = () if options.synced else ("--unsafe-no-fsync",)
        async with running_etcd(Path(folder, "etcd"), "--log-level=error", *quick) as etcd:
            found["etcd"] = await measure(etcd.port, options.writes)
        hk = shutil.which("hk") or str(Path(sys.executable).with_name("hk"))
        async with running_etcd(Path(folder, "hk"), command=[hk, "etcd"]) as etcd:
            found["hk etcd"] = await measure(etcd.port, options.writes)
    print(f"{'':40}" + "".join(f"{name:>12}" for name in found))
    for figure in found["etcd"]:
        print(f"{figure:40}" + "".join(f"{figures[figure]:12.2f}" for figures in found.values()))


if __name__ == "__main__":
    asyncio.run(main())
