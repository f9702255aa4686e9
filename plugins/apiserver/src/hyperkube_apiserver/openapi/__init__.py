"""OpenAPI: what the API is, told in documents.

/openapi/v2                     everything in one document, for older clients
/openapi/v3                     an index of the documents of OpenAPI 3, with a hash of each
/openapi/v3/apis/GROUP/VERSION  one of them
"""

from hyperkube_apiserver.openapi.service import OpenAPI

__all__ = ["OpenAPI"]
