"""The reaper: the one process of a node that pods belong to, started with `python -I -S`.

It outlives the kubelet and takes little room, so nothing here imports more than Python's standard library, and little
of that: no dataclasses, no typing, no asyncio.

main ──▶ node ──▶ pods ──▶ launch ──▶ rootfs
  │                │
  └──▶ server      └──▶ network, logs, records
"""
