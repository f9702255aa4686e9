"""The embedded runtime: containers are processes of this machine, under the node's reaper."""
