"""The watch cache: what lives in the store, held as bytes, for every read and every watch.

store ──one watch──▶ Hub ──a change──▶ WatchCache (one a resource) ──an event──▶ watchers
"""
