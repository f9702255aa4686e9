"""Calls of the webhooks that objects name: admission's and conversion's.

A caller (`caller.WebhookCaller`) is given the client configuration as it stands in the object, and a review; it answers
with the object that came back. What either says is its user's. Nothing is imported here: most servers call nobody.
Source: k8s.io/apiserver/pkg/util/webhook.
"""
