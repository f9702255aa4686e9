"""APIs that other servers answer for: an APIService says which group version, and behind which service.

    keeping        begins when the first APIService names a service: nothing else is imported before
    aggregator     follows each of them: is it there, what does it serve
    backend        requests to the server behind a service, as this server
    proxying       passes requests on, and says in whose name
    discovery      reads what the other server says that it serves
    availability   what the condition Available says, and why
    openapi        its OpenAPI documents among this server's
    registration   the APIServices that definitions of custom resources have, made and deleted with them
    frontproxy     the certificate that this server shows the others

Source: k8s.io/kube-aggregator.
"""
