"""Where pods are from: the API server, and files of this node."""
