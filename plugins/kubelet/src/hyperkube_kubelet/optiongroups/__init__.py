"""The kubelet's options, by what they are about."""
