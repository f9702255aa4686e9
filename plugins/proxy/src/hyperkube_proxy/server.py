"""The proxy: what is opened, in which order, and closed in reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperkube_core import Context
    from hyperkube_proxy.options import Options

__all__ = ["serve"]


async def serve(context: Context[Options]) -> None:
    """Serve until cancelled."""
    context.ready.set()
    await context.clock.sleep(1 << 31)
