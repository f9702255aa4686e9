"""Custom resources: their schemas, their rules, and how they are served."""
