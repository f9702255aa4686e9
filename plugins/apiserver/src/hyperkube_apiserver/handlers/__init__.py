"""What answers a request, one module for each sort."""
