"""Control groups of pods: what the machine has, the tree by quality of service, and what is written there."""
