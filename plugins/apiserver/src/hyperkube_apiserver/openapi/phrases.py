"""What every document says in the same words."""

from __future__ import annotations

from typing import Any

__all__ = ["ANSWERS", "BEARER", "VERSION_2"]

VERSION_2 = "v2"
"""The name of the document that tells of everything; those of OpenAPI 3 are named by the paths they tell of."""

ANSWERS = {200: "OK", 201: "Created", 202: "Accepted", 401: "Unauthorized"}

BEARER: dict[str, Any] = {
    "BearerToken": {
        "type": "apiKey",
        "description": "a token that says who is asking",
        "name": "authorization",
        "in": "header",
    }
}
