"""What one version's schema of a custom resource means for its objects.

    schema = CustomSchema.of(definition, "v1")
    tree, warnings = schema.read(body, "application/json", "Strict")
    errors = schema.validate(tree)

A schema costs next to nothing until it is asked something; then the part that is asked is compiled, and kept for every
version and definition whose schema is the same.
"""

from __future__ import annotations

from hyperkube_apiserver.crd.schema.custom import CustomSchema
from hyperkube_apiserver.crd.schema.typing import CustomTyping

__all__ = ["CustomSchema", "CustomTyping"]
