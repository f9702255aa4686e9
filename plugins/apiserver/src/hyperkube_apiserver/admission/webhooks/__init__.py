"""Admission by webhooks: who is asked, what, and what becomes of the answer.

Source: k8s.io/apiserver/pkg/admission/plugin/webhook.
"""
