"""CEL as Kubernetes has it: its libraries, types made of schemas, environments and limits."""
