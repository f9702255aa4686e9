"""What runs containers: the interface that the kubelet relies on, and the runtimes that have it."""
