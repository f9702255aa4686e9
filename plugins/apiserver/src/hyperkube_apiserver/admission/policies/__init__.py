"""Admission by policies: expressions that refuse what is written, tell of it or change it.

Source: k8s.io/apiserver/pkg/admission/plugin/policy.
"""
