"""The Pod Security Standards: what pods may do at each level, as of each version.

    levels         levels, versions, and the policy that the labels of a namespace come to
    baseline       what no ordinary pod needs
    restricted     what a hardened pod does without
    standard       which of them hold at a level and version
    configuration  the defaults and exemptions of a cluster

Source: k8s.io/pod-security-admission.
"""
