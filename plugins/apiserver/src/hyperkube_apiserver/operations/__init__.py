"""What those who run the server need of it: metrics, the access log, limits, an orderly end."""
