"""The audit log: who asked for what, when, and what came of it.

    policy     which requests are told of, and how much
    events     what is told
    trail      the events of one request
    auditor    puts these together
    sinks      where events go: at once, in batches, cut short, to several
    writing    a thread that writes
    logfile    a file that is begun anew when it is full
    webhook    a server that events are sent to
    opening    all of it, by flags

Nothing of this is imported by a server without an audit policy. Source: k8s.io/apiserver/pkg/audit, plugin/pkg/audit.
"""
