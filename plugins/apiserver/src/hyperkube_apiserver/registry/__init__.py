"""What the kinds do: common behaviour in `strategy` and `meta`, one module a group (or part of one) for the rest."""
