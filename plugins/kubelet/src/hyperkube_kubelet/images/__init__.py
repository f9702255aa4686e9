"""Images of containers: read from archives, kept by their content, unpacked once."""
