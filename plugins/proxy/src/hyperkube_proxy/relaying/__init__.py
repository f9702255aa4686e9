"""Connections and datagrams led on to endpoints, byte for byte, by this process."""
