"""The kubelet's own API: logs, commands in containers, what runs here, health and metrics."""
