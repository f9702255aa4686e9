from __future__ import annotations

import asyncio

from hyperkube_core import Context


async def serve(context: Context[None]) -> None:
    print(f"{context.name}: ready", flush=True)
    context.ready.set()
    await asyncio.Event().wait()
