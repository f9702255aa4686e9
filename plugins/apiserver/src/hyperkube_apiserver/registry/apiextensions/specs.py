"""What definitions say of their resources: versions, columns, subresources, selectable fields and conversion.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cryptography.x509 import load_pem_x509_certificates

from hyperkube_apiserver.registry.apiextensions.fieldpaths import FieldPathError, follow
from hyperkube_apiserver.registry.apiextensions.internalform import shown_versions
from hyperkube_apiserver.registry.apiextensions.leniency import schemas_of
from hyperkube_apiserver.registry.apiextensions.names import validate_names
from hyperkube_apiserver.registry.apiextensions.sameness import same
from hyperkube_apiserver.registry.apiextensions.schemas import Leniency, validate_schema
from hyperkube_apiserver.registry.apiextensions.structural import sub_schemas, unsupported
from hyperkube_apiserver.registry.fields import one_of
from hyperkube_apiserver.registry.webhookclients import validate_client
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1035_label, dns1123_subdomain

__all__ = ["SpecRules", "is_established"]

Tree = Mapping[str, Any]

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MOST_SELECTABLE = 8
_REVIEW_VERSIONS = ("v1", "v1beta1")
_EXTENSIONS = (
    *("x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys"),
    "x-kubernetes-validations",
)


def is_established(obj: Tree) -> bool:
    """Whether resources of the definition `obj` are served."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)


class SpecRules:
    """Checks a spec in the form that is checked; `old` is the one that it takes the place of."""

    def __init__(self, leniency: Leniency, *, old: Tree | None = None, established: bool = False) -> None:
        self._leniency = leniency
        self._old = old
        self._established = established

    def check(self, spec: Tree) -> list[FieldError]:
        errors = _validate_group(spec.get("group") or "")
        errors += one_of(spec.get("scope") or "", ("Cluster", "Namespaced"), "spec.scope", required=True)
        errors += self._validate_presence(spec)
        preserves = bool(spec.get("preserveUnknownFields"))
        every = [one for schema in schemas_of(spec) for one in sub_schemas(schema)]
        has_defaults = any(one.get("default") is not None for one in every)
        if preserves and has_defaults:
            text = "must be false in order to use defaults in the schema"
            errors.append(FieldError.invalid("spec.preserveUnknownFields", True, text))
        if not preserves or has_defaults or any(map(_is_extended, every)):
            self._leniency = replace(self._leniency, structure=False)
        errors += self._validate_versions(spec)
        names = spec.get("names") or {}
        for field in ("plural", "singular", "kind", "listKind"):
            if not names.get(field):
                errors.append(FieldError.required(f"spec.names.{field}"))
        errors += validate_names(names, "spec.names")
        has_status = any("status" in (one.get("subresources") or {}) for one in (spec, *spec["versions"]))
        errors += self._validate_validation(spec.get("validation"), "spec.validation", has_status, spec.get("version"))
        errors += _validate_subresources(spec.get("subresources"), "spec.subresources")
        errors += _validate_columns(spec.get("additionalPrinterColumns") or (), "spec.additionalPrinterColumns")
        errors += self._validate_top_selectable(spec)
        conversion = spec.get("conversion")
        if preserves and conversion is not None and conversion["strategy"] != "None":
            text = "must be None if spec.preserveUnknownFields is true"
            errors.append(FieldError.invalid("spec.conversion.strategy", conversion["strategy"], text))
        return errors + (self._validate_conversion(conversion, "spec.conversion") if conversion is not None else [])

    def _validate_presence(self, spec: Tree) -> list[FieldError]:
        """Every version has a schema; of stored definitions without, those that are served."""
        if (spec.get("validation") or {}).get("openAPIV3Schema") is not None:
            return []
        lenient = self._leniency.schemas
        text = "because otherwise all fields are pruned" if lenient else ""
        return [
            FieldError.required(f"spec.versions[{index}].schema.openAPIV3Schema", text)
            for index, version in enumerate(spec["versions"])
            if (version.get("schema") or {}).get("openAPIV3Schema") is None
            and (not lenient or (version.get("served") and not spec.get("preserveUnknownFields")))
        ]

    def _validate_versions(self, spec: Tree) -> list[FieldError]:
        errors: list[FieldError] = []
        versions = spec["versions"]
        own = any(version.get("subresources") is not None for version in versions)
        for index, version in enumerate(versions):
            path, name = f"spec.versions[{index}]", version.get("name") or ""
            if wrong := dns1035_label(name):
                errors.append(FieldError.invalid(f"{path}.name", name, ",".join(wrong)))
            has_status = "status" in ((version if own else spec).get("subresources") or {})
            errors += self._validate_version(version, path, has_status)
        names = [version.get("name") or "" for version in versions]
        if len(set(names)) < len(names):
            text = "must contain unique version names"
            errors.append(FieldError.invalid("spec.versions", shown_versions(versions), text))
        if sum(bool(version.get("storage")) for version in versions) != 1:
            text = "must have exactly one version marked as storage version"
            errors.append(FieldError.invalid("spec.versions", shown_versions(versions), text))
        if (name := spec.get("version")) and (wrong := dns1035_label(name)):
            errors.append(FieldError.invalid("spec.version", name, ",".join(wrong)))
        return errors

    def _validate_version(self, version: Tree, path: str, has_status: bool) -> list[FieldError]:
        errors = _validate_deprecation(version, f"{path}.deprecationWarning")
        errors += self._validate_validation(version.get("schema"), f"{path}.schema", has_status, version.get("name"))
        errors += _validate_subresources(version.get("subresources"), f"{path}.subresources")
        errors += _validate_columns(version.get("additionalPrinterColumns") or (), f"{path}.additionalPrinterColumns")
        if fields := version.get("selectableFields"):
            schema = (version.get("schema") or {}).get("openAPIV3Schema")
            if schema is None:
                text = "may only be set when `version.schema.openAPIV3Schema` is not included"
                errors.append(FieldError.invalid(f"{path}.selectableFields", "", text))
            else:
                errors += self._validate_selectable(fields, schema, path, version.get("name") or "")
        return errors

    def _validate_validation(
        self, validation: Tree | None, path: str, has_status: bool, version: str | None
    ) -> list[FieldError]:
        schema = (validation or {}).get("openAPIV3Schema")
        if schema is None:
            return []
        changed = self._old is None or not same(schema, _schema_of(self._old, version))
        at = f"{path}.openAPIV3Schema"
        return validate_schema(schema, at, self._leniency, has_status=has_status, limits_rules=changed)

    def _validate_top_selectable(self, spec: Tree) -> list[FieldError]:
        fields = spec.get("selectableFields")
        if not fields:
            return []
        schema = (spec.get("validation") or {}).get("openAPIV3Schema")
        if schema is None:
            text = "may only be set when validations.schema is included"
            return [FieldError.invalid("spec.selectableFields", "", text)]
        return self._validate_selectable(fields, schema, "spec", "")

    def _validate_selectable(self, fields: Sequence[Tree], schema: Tree, path: str, version: str) -> list[FieldError]:
        if why := unsupported(schema):
            return [FieldError.invalid(f"{path}.schema.openAPIV3Schema", "", why)]
        errors: list[FieldError] = []
        seen: set[tuple[str, ...]] = set()
        for index, field in enumerate(fields):
            at, text = f"{path}.selectableFields[{index}].jsonPath", field.get("jsonPath") or ""
            if not text:
                errors.append(FieldError.required(at))
                continue
            try:
                parts, found = follow(text, schema, allow_brackets=False)
            except FieldPathError as exc:
                errors.append(FieldError.invalid(at, text, f"is an invalid path: {exc}"))
                continue
            if parts[0] == "metadata":
                errors.append(FieldError.invalid(at, text, "must not point to fields in metadata"))
            if (found or {}).get("type") not in ("string", "boolean", "integer"):
                what = "must point to a field of type string, boolean or integer."
                why = f"{what} Enum string fields and strings with formats are allowed."
                errors.append(FieldError.invalid(at, text, why))
            if parts in seen:
                errors.append(FieldError.duplicate(at, text))
            seen.add(parts)
        if len(seen) > _MOST_SELECTABLE and fields != self._old_selectable(version):
            errors.append(FieldError.too_many(f"{path}.selectableFields", len(seen), _MOST_SELECTABLE))
        return errors

    def _old_selectable(self, version: str) -> Any:
        old = self._old or {}
        holders = old.get("versions") or () if version else (old,)
        return next((one.get("selectableFields") for one in holders if not version or one["name"] == version), None)

    def _validate_conversion(self, conversion: Tree, path: str) -> list[FieldError]:
        strategy, client = conversion["strategy"], conversion["webhookClientConfig"]
        versions = conversion["conversionReviewVersions"] or []
        errors = one_of(strategy, ("None", "Webhook"), f"{path}.strategy", required=True)
        if strategy != "Webhook":
            text = "should not be set when strategy is not set to Webhook"
            if client is not None:
                errors.append(FieldError.forbidden(f"{path}.webhookClientConfig", text))
            if versions:
                errors.append(FieldError.forbidden(f"{path}.conversionReviewVersions", text))
            return errors
        if client is None:
            text = "required when strategy is set to Webhook"
            errors.append(FieldError.required(f"{path}.webhookClientConfig", text))
        else:
            errors += validate_client(client, f"{path}.webhookClientConfig")
            if self._established and not _wrong_bundle(self._old_client()):
                errors += _validate_bundle(client, f"{path}.webhookClientConfig.caBundle")
        return errors + self._validate_review_versions(versions, f"{path}.conversionReviewVersions")

    def _old_client(self) -> Tree:
        return ((self._old or {}).get("conversion") or {}).get("webhookClientConfig") or {}

    def _validate_review_versions(self, versions: Sequence[str], path: str) -> list[FieldError]:
        if not versions:
            return [FieldError.required(path)]
        errors: list[FieldError] = []
        for index, version in enumerate(versions):
            if version in versions[:index]:
                errors.append(FieldError.invalid(f"{path}[{index}]", version, "duplicate version"))
                continue
            errors += [FieldError.invalid(f"{path}[{index}]", version, text) for text in dns1035_label(version)]
        former = ((self._old or {}).get("conversion") or {}).get("conversionReviewVersions")
        if set(_REVIEW_VERSIONS).isdisjoint(versions) and not (former and set(_REVIEW_VERSIONS).isdisjoint(former)):
            text = f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"
            errors.append(FieldError.invalid(path, versions, text))
        return errors


def _schema_of(spec: Tree, version: str | None) -> Any:
    """The schema of a version, which all of them may have in common; None if there is none."""
    named = [one for one in spec.get("versions") or () if one.get("name") == version]
    for holder in (*(one.get("schema") for one in named), spec.get("validation") if named else None):
        if (schema := (holder or {}).get("openAPIV3Schema")) is not None:
            return schema
    return None


def _is_extended(schema: Tree) -> bool:
    if any(schema.get(field) for field in _EXTENSIONS):
        return True
    return any(schema.get(f"x-kubernetes-{field}") is not None for field in ("preserve-unknown-fields", "list-type"))


def _validate_group(group: str) -> list[FieldError]:
    if not group:
        return [FieldError.required("spec.group")]
    if wrong := dns1123_subdomain(group):
        return [FieldError.invalid("spec.group", group, ",".join(wrong))]
    if "." not in group:
        return [FieldError.invalid("spec.group", group, "should be a domain with at least one dot")]
    return []


def _validate_deprecation(version: Tree, path: str) -> list[FieldError]:
    text = version.get("deprecationWarning")
    if text is None:
        return []
    if not version.get("deprecated"):
        return [FieldError.invalid(path, text, "can only be set for deprecated versions")]
    wrong: list[str] = []
    if len(text.encode()) > 256:
        wrong.append("must be <= 256 characters long")
    if not text:
        wrong.append("must not be an empty string")
    odd = next((index for index, char in enumerate(text) if not char.isprintable()), None)
    if odd is not None:
        where = f"non-printable character found at index {len(text[:odd].encode())}"
        wrong.append(f"must only contain printable UTF-8 characters; {where}")
    return [FieldError.invalid(path, text, one) for one in wrong]


def _validate_columns(columns: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, column in enumerate(columns):
        at, type_, format_ = f"{path}[{index}]", column.get("type") or "", column.get("format") or ""
        if not column.get("name"):
            errors.append(FieldError.required(f"{at}.name"))
        text = f"must be one of {','.join(_COLUMN_TYPES)}"
        if not type_:
            errors.append(FieldError.required(f"{at}.type", text))
        elif type_ not in _COLUMN_TYPES:
            errors.append(FieldError.invalid(f"{at}.type", type_, text))
        if format_ and format_ not in _COLUMN_FORMATS:
            text = f"must be one of {','.join(_COLUMN_FORMATS)}"
            errors.append(FieldError.invalid(f"{at}.format", format_, text))
        errors += _validate_simple_path(column.get("jsonPath") or "", f"{at}.JSONPath")
    return errors


def _validate_simple_path(text: str, path: str, *below: str) -> list[FieldError]:
    """A path that begins with a dot, and with one of `below` if there are any."""
    if not text:
        return [FieldError.required(path)]
    if not text.startswith("."):
        return [FieldError.invalid(path, text, "must be a simple json path starting with .")]
    if below and not text.startswith(tuple(f"{one}." for one in below)):
        where = f"either {' or '.join(below)}" if len(below) > 1 else below[0]
        return [FieldError.invalid(path, text, f"should be a json path under {where}")]
    return []


def _validate_subresources(subresources: Tree | None, path: str) -> list[FieldError]:
    scale = (subresources or {}).get("scale")
    if scale is None:
        return []
    at = f"{path}.scale"
    errors = _validate_simple_path(scale.get("specReplicasPath") or "", f"{at}.specReplicasPath", ".spec")
    errors += _validate_simple_path(scale.get("statusReplicasPath") or "", f"{at}.statusReplicasPath", ".status")
    if text := scale.get("labelSelectorPath"):
        errors += _validate_simple_path(text, f"{at}.labelSelectorPath", ".spec", ".status")
    return errors


def _wrong_bundle(client: Tree) -> str:
    """Why the CA certificates of a client can't be used, "" if they can or there are none."""
    if not client.get("caBundle"):
        return ""
    bundle = b64decode(client["caBundle"])
    if b"-----BEGIN " not in bundle:
        return "unable to parse bytes as PEM block"
    try:
        load_pem_x509_certificates(bundle)
    except ValueError:
        return "no valid certificate authority data seen"
    return ""


def _validate_bundle(client: Tree, path: str) -> list[FieldError]:
    if not (wrong := _wrong_bundle(client)):
        return []
    return [FieldError.invalid(path, client["caBundle"], f"unable to load root certificates: {wrong}")]
