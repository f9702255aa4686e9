"""Streams of processes and of ports, as Kubernetes' clients, API servers, kubelets and runtimes pass them on.

    a client's ends     channels (websocketchannels, spdychannels)  ─ pass_on ─→  a Session       a server's side
    a server's ends     remotecommand, portforward                  ─────────→   a Session       a client's side
    somebody else's     upgrades                                    ─────────→   bytes

Source: k8s.io/cri-streaming, k8s.io/streaming, k8s.io/client-go/tools/{remotecommand,portforward}.
"""
