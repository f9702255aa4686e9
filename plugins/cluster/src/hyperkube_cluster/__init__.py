"""What makes hk's servers a cluster: certificates, identities, kubeconfigs, arguments."""
