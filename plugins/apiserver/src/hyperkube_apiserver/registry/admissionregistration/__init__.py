"""Strategies of admissionregistration.k8s.io: webhooks and policies that other writes must pass."""
