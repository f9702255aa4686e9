"""Tokens that OpenID Connect providers and other issuers of JSON Web Tokens sign.

    token ─→ its issuer ─→ provider: discovery, key set ─→ verified claims ─→ mapping ─→ user

Nothing is imported here: most servers believe no issuer but their own.
Source: k8s.io/apiserver/plugin/pkg/authenticator/token/oidc.
"""
