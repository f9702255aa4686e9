"""What of the node each pod was given, which may be other than what it asks for by now."""
