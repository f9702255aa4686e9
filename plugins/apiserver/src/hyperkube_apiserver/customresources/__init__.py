"""Custom resources, live: what a definition makes the server offer, and how its objects are kept, shown and written."""
