"""SPDY/3.1: many streams on one connection, which clients of exec, attach and port forwarding speak.

    bytes ─→ frames ─→ session ─→ events            without any input or output
    a connection after its upgrade ─→ streams       a session on it

Source: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1.
"""
