"""A server of the standard library, which hk runs on a thread of its own."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from fileshare.options import Options
from hyperkube_core import Context


def serve(context: Context[Options]) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(context.options.folder))
    with ThreadingHTTPServer(("127.0.0.1", context.options.port), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        print(f"fileshare: http://127.0.0.1:{server.server_port}/", flush=True)
        context.ready.set()
        context.stopping.wait()
        server.shutdown()
        thread.join()
    print("fileshare: closed", flush=True)
