"""Expressions of admission: matchConditions, policies. What they may mention, compiling them, evaluating them.

Imported only where there are some, for the language takes a while to load.
Source: k8s.io/apiserver/pkg/admission/plugin/cel.
"""
