"""Real container runtimes: containerd, CRI-O and whatever else speaks CRI."""
