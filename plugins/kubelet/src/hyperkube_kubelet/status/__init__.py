"""The status of pods: made of what the runtime has, and written to the API server."""
