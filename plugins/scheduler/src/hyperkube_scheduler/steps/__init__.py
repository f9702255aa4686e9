"""The filters, scores and other steps of scheduling, one a module."""
