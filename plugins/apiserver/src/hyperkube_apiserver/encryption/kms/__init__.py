"""Keys that a key management service guards: it decrypts a seed, of which the server makes the keys of what it writes.

    service     the service, over gRPC on a Unix socket
    envelope    what is written: the encrypted value beside the encrypted seed
    provider    encrypts, decrypts, and looks after the service
    metrics     what is counted

Source: k8s.io/kms/apis/v2, k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2.
"""
