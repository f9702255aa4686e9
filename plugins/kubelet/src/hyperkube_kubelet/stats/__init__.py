"""What the node, its pods and their containers use, and how it is told."""
