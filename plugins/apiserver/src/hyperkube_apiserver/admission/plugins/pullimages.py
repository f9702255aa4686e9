"""AlwaysPullImages. Source: k8s.io/kubernetes/plugin/pkg/admission/alwayspullimages."""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, Plugin, Waiting
from hyperkube_apiserver.admission.podreferences import containers
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.errors import APIError, FieldError

__all__ = ["AlwaysPullImages"]

_ALWAYS = "Always"

Tree = dict[str, Any]


class AlwaysPullImages(Plugin):
    """Nobody gets at an image by its name alone, because a node has it: each start asks the registry for it."""

    operations = CREATE | UPDATE
    about = ("pods",)

    def admit(self, attributes: Attributes) -> Waiting:
        """Have every image pulled, unless an update brings no new one."""
        if _brings_no_image(attributes):
            return None
        assert attributes.obj is not None
        spec = attributes.obj.get("spec") or {}
        for _, container in containers(spec):
            container["imagePullPolicy"] = _ALWAYS
        for volume in spec.get("volumes") or ():
            if volume.get("image") is not None:
                volume["image"]["pullPolicy"] = _ALWAYS
        return None

    def validate(self, attributes: Attributes) -> Waiting:
        """Refuse what was changed back."""
        if _brings_no_image(attributes):
            return None
        assert attributes.obj is not None
        spec = attributes.obj.get("spec") or {}
        policies = [
            (f"spec.{path}.imagePullPolicy", container.get("imagePullPolicy") or "")
            for path, container in containers(spec)
        ]
        policies += [
            (f"spec.volumes[{index}].image.pullPolicy", volume["image"].get("pullPolicy") or "")
            for index, volume in enumerate(spec.get("volumes") or ())
            if volume.get("image") is not None
        ]
        wrong = [FieldError.not_supported(path, policy, (_ALWAYS,)) for path, policy in policies if policy != _ALWAYS]
        if wrong:
            # Upstream gathers the refusals into an error without a status, which becomes a 500 without a reason.
            texts = [str(forbidden(attributes, f"{error.field}: {error.message}")) for error in wrong]
            raise APIError.of(500, "", texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        return None


def _brings_no_image(attributes: Attributes) -> bool:
    if attributes.operation is not Operation.UPDATE:
        return False
    before, now = (
        {container.get("image") for _, container in containers((one or {}).get("spec") or {})}
        for one in (attributes.old, attributes.obj)
    )
    return now <= before
