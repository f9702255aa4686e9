"""Who the kubelet is: its certificates, as a client of the API server and as a server, had, kept and renewed.

bootstrapping: a token ─→ the first client certificate, and a kubeconfig that points to it
renewal:       each before it ends ─→ issuing: a request, approved and signed by others ─→ store: a file
serving:       one of its own, of files, or issued ─→ what connections are made with
"""
