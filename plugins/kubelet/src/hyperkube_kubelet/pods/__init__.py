"""One worker a pod: what the runtime has of it, and how it is brought to what its spec says."""
